"""Secrets are read once in a few seconds, and anew after a write or when that time is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rlm_operator.cluster import Access, open_cluster
from rlm_operator.errors import ConflictError, NotFoundError
from rlm_operator.kinds import Ref
from rlm_operator.names import FIELD_MANAGER, MANAGED_BY_LABEL
from rlm_operator.recent_secrets import OTHER_SECONDS, OWN_SECONDS, PRESSED_SECONDS, RecentSecrets
from rlm_operator.resource import Manifest
from tests.operator.scripted_api import ScriptedApi, write_kubeconfig

KEY = Ref("Secret", "team", "key")
PATH = "/api/v1/namespaces/team/secrets/key"
MANIFEST: Manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "team"}}


class World:
    """`secrets` on a clock that tests move, over an API server that counts."""

    def __init__(self, api: ScriptedApi, secrets: RecentSecrets) -> None:
        self.api, self.secrets = api, secrets
        self.now = 0.0
        self.is_pressed = False

    def reads(self) -> int:
        return sum(request.method == "GET" for request in self.api.requests)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    api = ScriptedApi()
    server = await api.start()
    (tmp_path / "token").write_text("token")
    config = write_kubeconfig(tmp_path / "config", str(server.make_url("")).rstrip("/"), tmp_path / "token")
    cluster = await open_cluster(Access(config))
    made = World(api, RecentSecrets(cluster, lambda: made.now, lambda: made.is_pressed))
    yield made
    await cluster.close()
    await server.close()


async def test_a_secret_read_twice_at_once_is_asked_for_once(world: World) -> None:
    world.api.answer("GET", PATH, MANIFEST)
    assert await world.secrets.fetch(KEY) == await world.secrets.fetch(KEY) == MANIFEST
    assert world.reads() == 1
    world.now = OTHER_SECONDS
    assert await world.secrets.fetch(KEY) == MANIFEST
    assert world.reads() == 2


async def test_a_secret_that_is_not_there_is_asked_for_once_and_anew_after_some_seconds(world: World) -> None:
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await world.secrets.fetch(KEY)
    assert world.reads() == 1
    world.api.answer("GET", PATH, MANIFEST)
    world.now = OTHER_SECONDS
    assert await world.secrets.fetch(KEY) == MANIFEST


@pytest.mark.parametrize("write", ["create", "merge", "apply"])
async def test_a_secret_that_was_written_is_as_the_write_left_it(world: World, write: str) -> None:
    world.api.answer("GET", PATH, MANIFEST)
    await world.secrets.fetch(KEY)
    written = MANIFEST | {"data": {"key": "bmV3"}}
    for method, path in (("POST", PATH.removesuffix("/key")), ("PATCH", PATH)):
        world.api.answer(method, path, written)
    match write:
        case "create":
            await world.secrets.create(MANIFEST)
        case "merge":
            await world.secrets.merge(KEY, {"data": {}})
        case _:
            await world.secrets.apply(MANIFEST)
    assert await world.secrets.fetch(KEY) == written
    assert world.reads() == 1


async def test_a_secret_whose_write_failed_or_that_was_deleted_is_read_anew(world: World) -> None:
    world.api.answer("GET", PATH, MANIFEST)
    world.api.answer("PATCH", PATH, {"message": "the object has been modified"}, status=409)
    world.api.answer("DELETE", PATH, {})
    await world.secrets.fetch(KEY)
    with pytest.raises(ConflictError):
        await world.secrets.merge(KEY, {"data": {}})
    await world.secrets.fetch(KEY)
    await world.secrets.delete(KEY, "u-1")
    await world.secrets.fetch(KEY)
    assert world.reads() == 3


async def test_other_kinds_are_read_each_time(world: World) -> None:
    config = Ref("ConfigMap", "team", "key")
    world.api.answer("GET", "/api/v1/namespaces/team/configmaps/key", {"kind": "ConfigMap"})
    await world.secrets.fetch(config)
    await world.secrets.fetch(config)
    assert world.reads() == 2


async def test_a_secret_that_is_presumed_missing_is_not_asked_for_until_that_is_old(world: World) -> None:
    world.api.answer("GET", PATH, MANIFEST)
    world.secrets.presume_missing([KEY])
    with pytest.raises(NotFoundError):
        await world.secrets.fetch(KEY)
    assert world.reads() == 0
    world.now = OTHER_SECONDS
    assert await world.secrets.fetch(KEY) == MANIFEST


async def test_a_secret_that_is_known_is_not_presumed_missing(world: World) -> None:
    world.api.answer("GET", PATH, MANIFEST)
    await world.secrets.fetch(KEY)
    world.secrets.presume_missing([KEY])
    assert await world.secrets.fetch(KEY) == MANIFEST


async def test_when_one_presumed_missing_can_not_be_created_all_of_its_namespace_are_read_anew(world: World) -> None:
    world.api.answer("GET", PATH, MANIFEST)
    world.api.answer("POST", PATH.removesuffix("/key"), {"message": "already exists"}, status=409)
    other, elsewhere = Ref("Secret", "team", "other"), Ref("Secret", "elsewhere", "key")
    world.api.answer("GET", "/api/v1/namespaces/team/secrets/other", MANIFEST)
    world.secrets.presume_missing([KEY, other, elsewhere])
    with pytest.raises(ConflictError):
        await world.secrets.create(MANIFEST)
    assert await world.secrets.fetch(KEY) == MANIFEST
    assert await world.secrets.fetch(other) == MANIFEST
    with pytest.raises(NotFoundError):
        await world.secrets.fetch(elsewhere)
    assert world.reads() == 2


async def test_a_secret_that_the_operator_made_is_kept_for_longer(world: World) -> None:
    own = MANIFEST | {"metadata": MANIFEST["metadata"] | {"labels": {MANAGED_BY_LABEL: FIELD_MANAGER}}}
    world.api.answer("GET", PATH, own)
    await world.secrets.fetch(KEY)
    world.now = OTHER_SECONDS
    await world.secrets.fetch(KEY)
    assert world.reads() == 1
    world.now = OWN_SECONDS
    await world.secrets.fetch(KEY)
    assert world.reads() == 2


async def test_in_a_rush_what_the_operator_made_is_kept_for_longer_still_and_what_others_made_is_not(
    world: World,
) -> None:
    own = MANIFEST | {"metadata": MANIFEST["metadata"] | {"labels": {MANAGED_BY_LABEL: FIELD_MANAGER}}}
    theirs = Ref("Secret", "team", "theirs")
    world.api.answer("GET", PATH, own)
    world.api.answer("GET", "/api/v1/namespaces/team/secrets/theirs", MANIFEST)
    world.is_pressed = True
    for now, reads in ((0.0, 2), (OWN_SECONDS, 3), (PRESSED_SECONDS, 5)):
        world.now = now
        assert await world.secrets.fetch(KEY) == own
        await world.secrets.fetch(theirs)
        assert world.reads() == reads
    world.now += OWN_SECONDS
    world.is_pressed = False
    await world.secrets.fetch(KEY)
    assert world.reads() == 6


async def test_a_kept_secret_is_the_callers_own_to_change_and_has_no_managed_fields(world: World) -> None:
    world.api.answer("GET", PATH, MANIFEST | {"metadata": MANIFEST["metadata"] | {"managedFields": [{}]}})
    (await world.secrets.fetch(KEY)).clear()
    assert await world.secrets.fetch(KEY) == MANIFEST
