"""Who does not lead reads, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlm_operator.cluster import Access, open_cluster
from rlm_operator.errors import NotLeaderError
from rlm_operator.fence import FencedApi
from rlm_operator.kinds import Ref
from tests.operator.scripted_api import ScriptedApi, write_kubeconfig

CONFIG = Ref("ConfigMap", "team", "demo")
MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo", "namespace": "team"}}


@pytest.mark.parametrize("leads", [True, False])
async def test_writes_pass_a_leader_only(tmp_path: Path, leads: bool) -> None:
    api = ScriptedApi()
    for method, path in (
        ("GET", "/demo"),
        ("PATCH", "/demo"),
        ("PATCH", "/demo/status"),
        ("POST", ""),
        ("DELETE", "/demo"),
    ):
        api.answer(method, f"/api/v1/namespaces/team/configmaps{path}", MANIFEST)
    server = await api.start()
    (tmp_path / "token").write_text("t")
    cluster = await open_cluster(
        Access(write_kubeconfig(tmp_path / "config", str(server.make_url("")).rstrip("/"), tmp_path / "token"))
    )
    fenced = FencedApi(cluster, lambda: leads)
    writes = (
        lambda: fenced.apply(MANIFEST),
        lambda: fenced.apply_status(MANIFEST),
        lambda: fenced.create(MANIFEST),
        lambda: fenced.merge(CONFIG, {}),
        lambda: fenced.delete(CONFIG, "u-1"),
    )
    try:
        assert await fenced.fetch(CONFIG) == MANIFEST
        for write in writes:
            if leads:
                await write()
            else:
                with pytest.raises(NotLeaderError):
                    await write()
    finally:
        await cluster.close()
        await server.close()
    assert [request.method for request in api.requests] == [
        "GET",
        *(["PATCH", "PATCH", "POST", "PATCH", "DELETE"] if leads else []),
    ]
