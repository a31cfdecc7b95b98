"""Optional APIs: what the API server serves is known, a change queues every resource, what is gone is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from rlm_operator.cache import Cache
from rlm_operator.cluster import Access, Cluster, open_cluster
from rlm_operator.errors import UnavailableError
from rlm_operator.feed import Feed
from rlm_operator.kinds import Ref
from rlm_operator.metrics import Metrics
from rlm_operator.optional_apis import OptionalApis
from rlm_operator.relist import Relist
from rlm_operator.workqueue import REST_SECONDS, WorkQueue
from tests.operator.objects import custom_resource
from tests.operator.scripted_api import ScriptedApi, write_kubeconfig

KEDA = "/apis/keda.sh/v1alpha1"
STACK = Ref("RLMStack", "team", "demo")


class World:
    """An API server, and what the operator knows of it: the stack `demo`."""

    def __init__(self, api: ScriptedApi, cluster: Cluster) -> None:
        self.now = 0.0
        self.api, self.cache, self.queue = api, Cache(), WorkQueue(lambda: self.now)
        feed = Feed(self.cache, self.queue)
        self.optional = OptionalApis(cluster, feed)
        self.relist = Relist(cluster, feed, self.optional, Metrics(), [], period=0.01)
        feed.receive("RLMStack", custom_resource("RLMStack", "demo", uid="u-1"))
        self.feed = feed

    def serve(self, *plurals: str) -> None:
        self.api.answer("GET", KEDA, {"resources": [{"name": plural} for plural in plurals]})

    async def queued(self) -> list[Ref]:
        keys = []
        while len(self.queue):
            key = await self.queue.get()
            assert key is not None
            self.queue.done(key)
            self.now += REST_SECONDS
            keys.append(key)
        return keys


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    api = ScriptedApi()
    server = await api.start()
    token = tmp_path / "token"
    token.write_text("t")
    config = write_kubeconfig(tmp_path / "config", str(URL(str(server.make_url("/"))).origin()), token)
    cluster = await open_cluster(Access(config))
    world = World(api, cluster)
    await world.queued()
    yield world
    await cluster.close()
    await server.close()


async def test_a_cluster_without_optional_apis_serves_none(world: World) -> None:
    assert await world.optional.refresh() == frozenset()
    assert world.optional.served == frozenset()
    assert await world.queued() == []


async def test_an_api_that_appears_is_served_and_every_resource_is_queued(world: World) -> None:
    await world.optional.refresh()
    world.serve("scaledobjects", "scaledobjects/status", "scaledjobs")
    assert await world.optional.refresh() == {"ScaledObject"}
    assert world.optional.served == {"ScaledObject"}
    assert await world.queued() == [STACK]


async def test_an_api_that_vanishes_takes_its_objects_along(world: World) -> None:
    world.serve("scaledobjects")
    await world.optional.refresh()
    scaled = custom_resource("ScaledObject", "demo-rlm", uid="u-2")
    owner = {"apiVersion": "rlm-operator.dev/v1alpha1", "kind": "RLMStack", "name": "demo", "uid": "u-1"}
    scaled["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    world.feed.receive("ScaledObject", scaled)
    await world.queued()
    world.api.answers.clear()
    assert await world.optional.refresh() == frozenset()
    assert world.optional.served == frozenset()
    assert world.cache.children_of("u-1") == []
    assert await world.queued() == [STACK]


async def test_an_api_server_that_fails_leaves_what_is_known(world: World) -> None:
    world.serve("scaledobjects")
    await world.optional.refresh()
    world.api.answers.clear()
    world.api.answer("GET", KEDA, {"message": "later"}, status=503)
    with pytest.raises(UnavailableError):
        await world.optional.refresh()
    assert world.optional.served == {"ScaledObject"}


async def test_a_kind_that_cannot_be_listed_when_it_comes_is_listed_soon_after(world: World) -> None:
    """An API server says so while it makes room for the objects of a CRD that was just installed."""
    world.serve("scaledobjects")
    path = f"{KEDA}/scaledobjects"
    world.api.answer("GET", path, {"message": "storage is (re)initializing", "reason": "TooManyRequests"}, status=429)
    world.api.answer("GET", path, {"items": [], "metadata": {"resourceVersion": "1"}})
    discovery = asyncio.create_task(world.relist.discover())
    async with asyncio.timeout(60):
        while [request.path for request in world.api.requests].count(path) < 2:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
    discovery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await discovery
