"""The door to the API server: what is sent, and what its answers become; and what lists reveal of dead watches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from rlm_operator.cache import Cache
from rlm_operator.cluster import Access, Cluster, open_cluster
from rlm_operator.errors import (
    ApiError,
    ClusterConfigError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from rlm_operator.feed import Feed
from rlm_operator.kinds import APIS, RESOURCE_KINDS, WATCHED_CHILD_KINDS, Ref
from rlm_operator.metrics import Metrics
from rlm_operator.optional_apis import OptionalApis
from rlm_operator.relist import Relist
from rlm_operator.resource import Manifest
from rlm_operator.workqueue import WorkQueue
from tests.operator.objects import custom_resource
from tests.operator.scripted_api import ScriptedApi, write_kubeconfig

CONFIG = Ref("ConfigMap", "team", "demo")
PATH = "/api/v1/namespaces/team/configmaps/demo"
STACKS = "/apis/rlm-operator.dev/v1alpha1/rlmstacks"


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
async def cluster(api: ScriptedApi, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Connected to `api`, as `first-token`; the token file is `tmp_path / "token"`."""
    server = await api.start()
    (tmp_path / "token").write_text("first-token")
    config = write_kubeconfig(tmp_path / "config", str(server.make_url("")).rstrip("/"), tmp_path / "token")
    cluster = await open_cluster(Access(config))
    yield cluster
    await cluster.close()
    await server.close()


def failure(message: str, reason: str) -> Manifest:
    return {"kind": "Status", "status": "Failure", "message": message, "reason": reason}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, NotFoundError),
        (409, ConflictError),
        (403, RefusedError),
        (422, RefusedError),
        (429, UnavailableError),
        (500, UnavailableError),
    ],
)
async def test_a_failure_keeps_the_servers_words_and_says_what_to_do_by_its_class(
    api: ScriptedApi, cluster: Cluster, status: int, kind: type[ApiError]
) -> None:
    api.answer("GET", PATH, failure("exceeded quota: small", "Forbidden"), status)
    with pytest.raises(kind, match=r"^exceeded quota: small$") as caught:
        await cluster.fetch(CONFIG)
    assert (caught.value.status, caught.value.reason) == (status, "Forbidden")


async def test_the_pause_that_the_server_asks_for_is_told(api: ScriptedApi, cluster: Cluster) -> None:
    api.answers[f"GET {PATH}"] = [web.Response(status=429, text="too many", headers={"Retry-After": "7"})]
    with pytest.raises(UnavailableError, match="too many") as caught:
        await cluster.fetch(CONFIG)
    assert caught.value.retry_after == 7


async def test_a_megabyte_of_words_is_cut(api: ScriptedApi, cluster: Cluster) -> None:
    api.answer("GET", PATH, failure("no " * 350_000, "Forbidden"), 403)
    with pytest.raises(RefusedError) as caught:
        await cluster.fetch(CONFIG)
    assert len(caught.value.message) == 4096


async def test_an_answer_that_is_not_of_kubernetes_is_told_with_the_request(cluster: Cluster) -> None:
    with pytest.raises(NotFoundError, match=f"GET {PATH}: 404 page not found"):
        await cluster.fetch(CONFIG)


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    config = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", tmp_path / "token")
    cluster = await open_cluster(Access(config))
    try:
        with pytest.raises(UnavailableError, match="no answer from the API server"):
            await cluster.fetch(CONFIG)
    finally:
        await cluster.close()


async def test_a_rotated_token_is_read_anew_when_the_old_one_is_refused(
    api: ScriptedApi, cluster: Cluster, tmp_path: Path
) -> None:
    api.answer("GET", PATH, failure("Unauthorized", "Unauthorized"), 401)
    api.answer("GET", PATH, {"kind": "ConfigMap"})
    (tmp_path / "token").write_text("second-token")
    assert await cluster.fetch(CONFIG) == {"kind": "ConfigMap"}
    assert [request.headers["Authorization"] for request in api.requests] == [
        "Bearer first-token",
        "Bearer second-token",
    ]
    assert (await cluster.connection()).token == "second-token"


async def test_an_apply_is_server_side_and_takes_fields_over(api: ScriptedApi, cluster: Cluster) -> None:
    api.answer("PATCH", PATH, {})
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo", "namespace": "team"}}
    await cluster.apply(manifest)
    [request] = api.requests
    assert request.content_type == "application/apply-patch+yaml"
    assert dict(request.query) == {"fieldManager": "rlm-operator", "force": "true"}
    assert api.bodies == [manifest]


async def test_an_apply_of_what_must_be_absent_asks_for_a_version_that_no_object_has(
    api: ScriptedApi, cluster: Cluster
) -> None:
    api.answer("PATCH", PATH, {})
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo", "namespace": "team"}}
    await cluster.apply(manifest, absent=True)
    assert api.bodies[0]["metadata"] == {"name": "demo", "namespace": "team", "resourceVersion": "1"}
    assert "resourceVersion" not in manifest["metadata"]


async def test_a_delete_is_of_exactly_one_object(api: ScriptedApi, cluster: Cluster) -> None:
    api.answer("DELETE", PATH, {})
    await cluster.delete(CONFIG, "u-1")
    assert api.bodies == [{"preconditions": {"uid": "u-1"}, "propagationPolicy": "Background"}]


async def test_a_long_list_is_fetched_page_by_page(api: ScriptedApi, cluster: Cluster) -> None:
    api.answer("GET", STACKS, {"items": [{"n": 1}], "metadata": {"resourceVersion": "7", "continue": "more"}})
    api.answer("GET", STACKS, {"items": [{"n": 2}], "metadata": {"resourceVersion": "7"}})
    listing = await cluster.fetch_list("RLMStack", None, "a=b")
    assert (listing.items, listing.version) == ([{"n": 1}, {"n": 2}], "7")
    assert [request.query.get("continue") for request in api.requests] == [None, "more"]
    assert {request.query["labelSelector"] for request in api.requests} == {"a=b"}


async def test_a_kubeconfig_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ClusterConfigError, match=r"nowhere.*check --kubeconfig"):
        await open_cluster(Access(tmp_path / "nowhere"))


@pytest.mark.parametrize(("told", "healthy"), [(False, False), (True, True)], ids=["silent", "talking"])
async def test_a_watch_that_stays_silent_while_lists_find_changes_is_unhealthy(
    api: ScriptedApi, cluster: Cluster, told: bool, healthy: bool
) -> None:
    for kind in (*WATCHED_CHILD_KINDS, *RESOURCE_KINDS):
        api.answer("GET", APIS[kind].path(None), {"items": [], "metadata": {"resourceVersion": "1"}})
    feed = Feed(Cache(), WorkQueue())
    relist = Relist(cluster, feed, OptionalApis(cluster, feed), Metrics(), [], period=60)
    await relist.fill()
    api.answers[f"GET {STACKS}"].clear()
    for version in (2, 3, 4):
        changed = custom_resource("RLMStack", "demo", version)
        api.answer("GET", STACKS, {"items": [changed], "metadata": {"resourceVersion": str(version)}})
        api.answer("GET", APIS["RLMStack"].path(changed["metadata"]["namespace"], "demo"), changed)
    for _ in range(3):
        if told:
            relist.count_event("RLMStack")
        await relist.compare()
    assert (relist.problems() == []) is healthy
