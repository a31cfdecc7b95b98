"""Who may run a cell: bounds, turns between callers, and what happens to those who give up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from runtime.sandbox.admission import Admission
from runtime.sandbox.errors import RequestError
from runtime.wire import ErrorCode
from tests.runtime.sandbox.eventually import eventually

LONG = 60.0


class Callers:
    """Tasks that hold a slot until they are told to stop; `order` is who was admitted when."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.order: list[str] = []
        self._release: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, caller: str, name: str) -> None:
        self._release[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(caller, name))

    async def _hold(self, caller: str, name: str) -> None:
        async with self.admission.slot(caller):
            self.order.append(name)
            await self._release[name].wait()

    def release(self, name: str) -> None:
        self._release[name].set()

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


@asynccontextmanager
async def callers(slots: int = 1, max_queue: int = 10, queue_seconds: float = LONG) -> AsyncIterator[Callers]:
    made = Callers(Admission(slots, max_queue, queue_seconds))
    yield made
    await made.close()
    assert (made.admission.running, made.admission.queued) == (0, 0)


async def test_free_slots_are_given_at_once_and_no_more_than_there_are() -> None:
    async with callers(slots=2) as held:
        for name in "abc":
            held.start("caller", name)
        await eventually(lambda: held.order == ["a", "b"] and held.admission.queued == 1)
        held.release("a")
        await eventually(lambda: held.order == ["a", "b", "c"])


async def test_callers_take_turns_however_many_one_of_them_queues() -> None:
    async with callers() as held:
        held.start("first", "f0")
        await eventually(lambda: held.order == ["f0"])
        for name in ("f1", "f2", "f3"):
            held.start("first", name)
        await eventually(lambda: held.admission.queued == 3)
        held.start("second", "s1")
        await eventually(lambda: held.admission.queued == 4)
        for name in ("f0", "f1", "s1", "f2"):
            held.release(name)
        await eventually(lambda: held.order == ["f0", "f1", "s1", "f2", "f3"])


async def test_a_full_queue_refuses_with_a_time_to_retry() -> None:
    async with callers(max_queue=1) as held:
        held.start("caller", "runs")
        await eventually(lambda: held.order == ["runs"])
        held.start("caller", "waits")
        await eventually(lambda: held.admission.queued == 1)
        with pytest.raises(RequestError) as refused:
            async with held.admission.slot("caller"):
                pass
        assert (refused.value.code, refused.value.status) == (ErrorCode.QUEUE_FULL, 429)
        assert refused.value.retry_after == 1


async def test_waiting_too_long_is_refused_and_leaves_the_queue() -> None:
    async with callers(queue_seconds=0.02) as held:
        held.start("caller", "runs")
        await eventually(lambda: held.order == ["runs"])
        with pytest.raises(RequestError) as refused:
            async with held.admission.slot("caller"):
                pass
        assert refused.value.code is ErrorCode.QUEUE_TIMEOUT
        assert held.admission.queued == 0


async def test_a_cancelled_waiter_leaves_the_queue_and_the_next_one_is_served() -> None:
    async with callers() as held:
        for name in "abc":
            held.start(name, name)
        await eventually(lambda: held.admission.queued == 2)
        held.tasks["b"].cancel()
        await eventually(lambda: held.admission.queued == 1)
        held.release("a")
        await eventually(lambda: held.order == ["a", "c"])


async def test_a_waiter_cancelled_in_the_moment_of_its_admission_passes_the_slot_on() -> None:
    async with callers() as held:
        for name in "abc":
            held.start("caller", name)
        await eventually(lambda: held.admission.queued == 2)
        held.release("a")
        held.tasks["a"].add_done_callback(lambda _: held.tasks["b"].cancel())
        await eventually(lambda: held.order[-1] == "c")


async def test_a_cell_that_fails_gives_its_slot_back() -> None:
    admission = Admission(1, 0, LONG)
    with pytest.raises(ValueError, match="cell"):
        async with admission.slot("caller"):
            raise ValueError("cell")
    async with admission.slot("caller") as waited:
        assert waited < LONG
        assert admission.running == 1


async def test_nobody_overtakes_those_who_wait() -> None:
    async with callers() as held:
        held.start("a", "a")
        await eventually(lambda: held.order == ["a"])
        held.start("b", "b")
        await eventually(lambda: held.admission.queued == 1)
        held.release("a")
        held.start("c", "c")
        await eventually(lambda: held.order == ["a", "b"])
