"""News about objects: what is remembered, and which resources it queues."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rlm_operator.cache import Cache
from rlm_operator.feed import Feed
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.live import observe
from rlm_operator.render import render
from rlm_operator.resource import Manifest
from rlm_operator.workqueue import REST_SECONDS, WorkQueue
from tests.operator.objects import custom_resource, stored
from tests.operator.specs import INPUTS, build_stack, one

STACK = Ref("RLMStack", "team", "demo")
POOL = Ref("SandboxPool", "team", "demo")


class World:
    """A feed with what it feeds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cache, self.queue = Cache(), WorkQueue(lambda: self.now)
        self.feed = Feed(self.cache, self.queue)

    def list(self, kind: str, namespace: str | None, manifests: Sequence[Manifest], version: str) -> int:
        """A list of all objects of a kind; returns how much of it was news."""
        news = sum(self.feed.receive(kind, manifest) for manifest in manifests)
        present = {ref_of(manifest, kind) for manifest in manifests}
        return news + self.feed.keep_only(present, kind, namespace, version)

    async def take(self) -> Ref:
        key = await self.queue.get()
        assert key is not None
        self.queue.done(key)
        self.now += REST_SECONDS
        return key

    async def queued(self) -> set[Ref]:
        """Keys that wait, taken off the queue."""
        keys = set()
        while len(self.queue):
            keys.add(await self.take())
        return keys


@pytest.fixture
async def world() -> World:
    """Knows the stack `demo`; the queue is empty."""
    world = World()
    world.feed.receive("RLMStack", custom_resource("RLMStack", "demo", uid="u-1"))
    await world.queued()
    return world


def child(version: int = 1, kind: str = "ConfigMap") -> Manifest:
    return stored(one(render(build_stack(uid="u-1"), INPUTS), kind), version)


async def test_an_edited_resource_overtakes_new_ones_and_those_overtake_what_is_as_it_was(world: World) -> None:
    for name, observed in (("same", 1), ("new", None), ("edited", 0)):
        status = {} if observed is None else {"observedGeneration": observed}
        world.feed.receive("RLMStack", custom_resource("RLMStack", name, status=status))
    assert [(await world.take()).name for _ in range(3)] == ["edited", "new", "same"]


async def test_a_new_resource_is_queued(world: World) -> None:
    world.feed.receive("RLMStack", custom_resource("RLMStack", "other"))
    assert await world.queued() == {Ref("RLMStack", "team", "other")}


async def test_a_resource_is_kept_without_what_nobody_asks_for(world: World) -> None:
    resource = custom_resource("RLMStack", "other")
    resource["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    world.feed.receive("RLMStack", resource)
    kept = world.cache.resource(Ref("RLMStack", "team", "other"))
    assert kept is not None
    assert "managedFields" not in kept["metadata"]
    assert resource["metadata"]["managedFields"]


async def test_a_version_that_is_known_is_no_news(world: World) -> None:
    assert not world.feed.receive("RLMStack", custom_resource("RLMStack", "demo", uid="u-1"))
    assert await world.queued() == set()


async def test_an_older_version_does_not_replace_a_newer_one(world: World) -> None:
    world.feed.receive("ConfigMap", child(version=5))
    await world.queued()
    assert not world.feed.receive("ConfigMap", child(version=4))
    known = world.cache.child(ref_of(child()))
    assert known is not None
    assert known.resource_version == "5"
    assert await world.queued() == set()


async def test_the_echo_of_our_own_write_is_no_news(world: World) -> None:
    world.cache.put_written(observe(child(version=7)))
    world.feed.receive("ConfigMap", child(version=7))
    assert await world.queued() == set()


async def test_a_child_queues_its_owner_when_it_changes_and_when_it_goes(world: World) -> None:
    world.feed.receive("ConfigMap", child())
    assert await world.queued() == {STACK}
    world.feed.forget("ConfigMap", child())
    assert await world.queued() == {STACK}
    assert world.cache.child(ref_of(child())) is None


async def test_the_deletion_of_a_namesake_is_not_that_of_its_successor(world: World) -> None:
    world.feed.receive("ConfigMap", stored(child(), 9, uid="new"))
    world.feed.forget("ConfigMap", stored(child(), 8, uid="old"))
    assert world.cache.child(ref_of(child())) is not None


async def test_a_pool_queues_itself_its_owner_and_the_stacks_that_use_it(world: World) -> None:
    user = custom_resource("RLMStack", "user", spec={"sandboxPoolRef": {"name": "demo"}})
    stranger = custom_resource("RLMStack", "stranger", spec={"sandboxPoolRef": {"name": "another"}})
    world.feed.receive("RLMStack", user)
    world.feed.receive("RLMStack", stranger)
    await world.queued()
    world.feed.receive("SandboxPool", child(kind="SandboxPool"))
    assert await world.queued() == {POOL, STACK, Ref("RLMStack", "team", "user")}


async def test_a_list_tells_what_vanished_without_a_word(world: World) -> None:
    world.feed.receive("ConfigMap", child())
    await world.queued()
    assert world.list("ConfigMap", None, [], "100") == 1
    assert world.cache.child(ref_of(child())) is None
    assert await world.queued() == {STACK}


async def test_a_list_of_what_is_known_changes_nothing(world: World) -> None:
    world.feed.receive("ConfigMap", child())
    await world.queued()
    assert world.list("ConfigMap", None, [child()], "100") == 0
    assert await world.queued() == set()


async def test_what_came_after_a_list_was_made_stays(world: World) -> None:
    world.feed.receive("ConfigMap", child(version=200))
    world.list("ConfigMap", None, [], "100")
    assert world.cache.child(ref_of(child())) is not None


async def test_a_list_of_one_namespace_says_nothing_of_others(world: World) -> None:
    world.feed.receive("ConfigMap", child())
    world.list("ConfigMap", "elsewhere", [], "100")
    assert world.cache.child(ref_of(child())) is not None


async def test_a_vanished_resource_is_forgotten(world: World) -> None:
    world.list("RLMStack", None, [], "100")
    assert world.cache.resource(STACK) is None


async def test_a_stack_that_comes_moves_or_goes_queues_its_pools_also_of_another_namespace(world: World) -> None:
    pools = {name: custom_resource("SandboxPool", name) for name in ("one", "two")}
    pools["two"]["metadata"]["namespace"] = "platform"
    one, two = (Ref("SandboxPool", pool["metadata"]["namespace"], name) for name, pool in pools.items())
    for pool in pools.values():
        world.feed.receive("SandboxPool", pool)
    await world.queued()
    user = Ref("RLMStack", "team", "user")

    def moved(version: int, **reference: str) -> Manifest:
        return custom_resource("RLMStack", "user", version, spec={"sandboxPoolRef": reference})

    world.feed.receive("RLMStack", moved(1, name="one"))
    assert await world.queued() == {user, one}
    world.feed.receive("RLMStack", moved(2, name="one"))
    assert await world.queued() == {user}
    world.feed.receive("RLMStack", moved(3, name="two", namespace="platform"))
    assert await world.queued() == {user, one, two}
    world.feed.receive(
        "SandboxPool", {**pools["two"], "metadata": {**pools["two"]["metadata"], "resourceVersion": "9"}}
    )
    assert await world.queued() == {user, two}
    world.list("RLMStack", None, [], "10")
    assert {user, two} <= await world.queued()


async def test_a_child_that_somebody_else_takes_over_queues_the_owner_that_it_had(world: World) -> None:
    world.feed.receive("ConfigMap", child(5))
    await world.queued()
    taken = child(6)
    taken["metadata"]["ownerReferences"] = []
    world.feed.receive("ConfigMap", taken)
    assert STACK in await world.queued()
