"""A further list of everything: only what differs from what is known is fetched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rlm_operator.cache import Cache
from rlm_operator.cluster import Access, open_cluster
from rlm_operator.feed import Feed
from rlm_operator.kinds import APIS, RESOURCE_KINDS, WATCHED_CHILD_KINDS, Ref
from rlm_operator.metrics import Metrics
from rlm_operator.optional_apis import OptionalApis
from rlm_operator.relist import Relist
from rlm_operator.resource import Manifest
from rlm_operator.workqueue import WorkQueue
from tests.operator.objects import custom_resource
from tests.operator.scripted_api import ScriptedApi, write_kubeconfig

STACKS = APIS["RLMStack"].path(None)
DEMO = Ref("RLMStack", "team", "demo")


class World:
    """An operator that knows the stack `demo` in version 5, and an API server whose lists are empty at first."""

    def __init__(self, api: ScriptedApi) -> None:
        self.api, self.cache = api, Cache()
        self.feed = Feed(self.cache, WorkQueue())
        self.demo = versioned("demo", "5")
        self.feed.receive("RLMStack", self.demo)
        for kind in (*WATCHED_CHILD_KINDS, *RESOURCE_KINDS):
            if kind != "RLMStack":
                self.answer(kind)
        self.relist: Relist

    def answer(self, kind: str, *manifests: Manifest) -> None:
        """A list of all objects of a kind, as metadata alone."""
        items = [{"metadata": manifest["metadata"]} for manifest in manifests] or None  # as the API server says it
        self.api.answer("GET", APIS[kind].path(None), {"metadata": {"resourceVersion": "9"}, "items": items})

    def fetched(self) -> list[str]:
        """Paths of single objects that were asked for."""
        return [request.path for request in self.api.requests if "/namespaces/" in request.path]


def versioned(name: str, version: str) -> Manifest:
    made = custom_resource("RLMStack", name, uid=f"u-{name}")
    return {**made, "metadata": {**made["metadata"], "resourceVersion": version}}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    api = ScriptedApi()
    server = await api.start()
    (tmp_path / "token").write_text("t")
    config = write_kubeconfig(tmp_path / "config", str(server.make_url("")).rstrip("/"), tmp_path / "token")
    cluster = await open_cluster(Access(config))
    made = World(api)
    made.relist = Relist(cluster, made.feed, OptionalApis(cluster, made.feed), Metrics(), [], period=60)
    yield made
    await cluster.close()
    await server.close()


async def test_what_is_known_in_the_listed_version_is_not_fetched(world: World) -> None:
    world.answer("RLMStack", world.demo)
    await world.relist.compare()
    assert world.fetched() == []
    [asked] = [request for request in world.api.requests if request.path == STACKS]
    assert "as=PartialObjectMetadataList" in asked.headers["Accept"]


async def test_what_is_listed_in_another_version_or_unknown_is_fetched_whole(world: World) -> None:
    changed, other = versioned("demo", "7"), versioned("other", "8")
    world.answer("RLMStack", changed, other)
    for manifest in (changed, other):
        name = manifest["metadata"]["name"]
        world.api.answer("GET", APIS["RLMStack"].path("team", name), {**manifest, "spec": {"found": name}})
    await world.relist.compare()
    assert len(world.fetched()) == 2
    for name in ("demo", "other"):
        known = world.cache.resource(Ref("RLMStack", "team", name))
        assert known is not None
        assert known["spec"] == {"found": name}


async def test_what_is_no_longer_listed_is_forgotten(world: World) -> None:
    world.answer("RLMStack")
    await world.relist.compare()
    assert not world.cache.has_resource(DEMO)


async def test_what_goes_between_the_list_and_the_look_stops_nothing(world: World) -> None:
    world.answer("RLMStack", world.demo, versioned("gone", "8"))
    await world.relist.compare()
    assert world.fetched() == [APIS["RLMStack"].path("team", "gone")]
    assert world.cache.has_resource(DEMO)
