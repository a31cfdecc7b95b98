"""The queue of resources: one worker each, no lost news, and patience after failures."""

from __future__ import annotations

import asyncio

import pytest

from rlm_operator.kinds import Ref
from rlm_operator.workqueue import REST_SECONDS, Urgency, WorkQueue

A, B = Ref("RLMStack", "team", "a"), Ref("RLMStack", "team", "b")


async def take(queue: WorkQueue) -> Ref | None:
    async with asyncio.timeout(10):
        return await queue.get()


async def test_a_key_added_twice_is_handed_out_once_in_order() -> None:
    queue = WorkQueue()
    for key in (A, B, A):
        queue.add(key)
    assert [await take(queue), await take(queue)] == [A, B]
    assert len(queue) == 0


async def test_edited_keys_come_before_new_ones_and_those_before_routine() -> None:
    queue = WorkQueue()
    keys = {urgency: Ref("RLMStack", "team", urgency.name.lower()) for urgency in Urgency}
    for urgency in reversed(Urgency):
        queue.add(keys[urgency], urgency)
    assert [await take(queue) for _ in keys] == list(keys.values())


async def test_a_waiting_key_becomes_more_urgent_but_never_less() -> None:
    queue = WorkQueue()
    queue.add(A, Urgency.NEW)
    queue.add(B, Urgency.ROUTINE)
    queue.add(B, Urgency.EDITED)
    queue.add(A, Urgency.ROUTINE)
    assert len(queue) == 2
    assert [await take(queue), await take(queue)] == [B, A]


async def test_routine_is_served_while_new_keys_keep_coming() -> None:
    queue = WorkQueue()
    queue.add(A, Urgency.ROUTINE)
    for number in range(20):
        queue.add(Ref("RLMStack", "team", f"new-{number}"), Urgency.NEW)
    assert A in [await take(queue) for _ in range(4)]


async def test_a_key_edited_while_it_is_worked_on_keeps_its_urgency() -> None:
    queue = WorkQueue()
    queue.add(A)
    assert await take(queue) == A
    queue.add(B, Urgency.NEW)
    queue.add(A, Urgency.EDITED)
    queue.add(A)
    queue.done(A)
    assert [await take(queue), await take(queue)] == [A, B]


async def test_a_key_added_while_it_is_worked_on_runs_once_more_and_not_at_once() -> None:
    queue = WorkQueue()
    queue.add(A)
    assert await take(queue) == A
    queue.add(A)
    queue.add(A)
    assert len(queue) == 0
    queue.done(A)
    assert await take(queue) == A
    queue.done(A)
    assert len(queue) == 0


async def test_a_waiting_worker_wakes_up_for_a_key() -> None:
    queue = WorkQueue()
    waiting = asyncio.create_task(take(queue))
    await asyncio.sleep(0)
    queue.add(A)
    assert await waiting == A


async def test_a_delayed_key_comes_after_its_delay_and_before_later_ones() -> None:
    queue = WorkQueue()
    queue.add_after(A, 0.2)
    queue.add_after(B, 0.05)
    assert [await take(queue), await take(queue)] == [B, A]


async def test_the_earliest_of_two_delays_counts() -> None:
    queue = WorkQueue()
    queue.add_after(A, 60)
    queue.add_after(A, 0.05)
    assert await take(queue) == A


async def test_an_event_takes_the_place_of_a_delayed_run() -> None:
    queue = WorkQueue()
    queue.add_after(A, 0.05)
    queue.add(A)
    assert await take(queue) == A
    queue.done(A)
    queue.add_after(B, 0.15)
    assert await take(queue) == B  # and not A, whose delay is over


async def test_waits_double_with_each_failure_and_start_anew_after_a_success() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    assert [fail_again(queue, clock) for _ in range(3)] == [0.5, 1.0, 2.0]
    queue.forget_failures(A)
    assert queue.retry(A) == 0.5


async def test_waits_have_an_end() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    assert max(fail_again(queue, clock) for _ in range(100)) == 120


async def test_a_failure_of_a_run_before_the_wait_is_over_leaves_the_wait_as_it_is() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    waits = [fail_again(queue, clock) for _ in range(3)]
    clock.now -= 1.0  # an event comes a second before the wait is over
    assert [queue.retry(A) for _ in range(5)] == pytest.approx([waits[-1] * 0.9 - waits[-1] + 1.0] * 5)
    clock.now += 1.0
    assert queue.retry(A) == 2 * waits[-1]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail_again(queue: WorkQueue, clock: Clock) -> float:
    """A failure, then the whole wait; returns the wait."""
    wait = queue.retry(A)
    clock.now += wait
    return wait


@pytest.mark.parametrize("workers", [1, 3])
async def test_closing_ends_every_worker(workers: int) -> None:
    queue = WorkQueue()
    waiting = [asyncio.create_task(take(queue)) for _ in range(workers)]
    await asyncio.sleep(0)
    queue.close()
    assert await asyncio.gather(*waiting) == [None] * workers


async def test_a_pause_that_the_api_server_asked_for_is_not_shortened_by_an_event() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A)
    assert await take(queue) == A
    assert queue.retry(A, 30) == 30
    queue.done(A)
    clock.now += 29
    queue.add(A)
    queue.add(B)
    assert await take(queue) == B
    assert len(queue) == 0
    clock.now += 1
    assert await take(queue) == A


async def test_the_time_since_the_news_counts_waiting_and_failed_tries_until_it_is_answered() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A, Urgency.NEW)
    clock.now += 3
    assert await take(queue) == A
    clock.now += 1
    assert queue.seconds_since_news(A) == 4
    queue.retry(A)
    queue.done(A)
    clock.now += 6
    assert await take(queue) == A
    assert queue.seconds_since_news(A) == 10
    queue.done(A)
    assert queue.seconds_since_news(A) is None


async def test_news_during_a_run_are_those_of_the_next_run_and_routine_is_no_news() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A)
    assert await take(queue) == A
    assert queue.seconds_since_news(A) is None
    queue.add(A, Urgency.EDITED)
    clock.now += 5
    queue.done(A)
    assert await take(queue) == A
    assert queue.seconds_since_news(A) == 5


async def test_routine_news_about_a_key_that_was_just_done_are_one_run_when_it_has_rested() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A)
    assert await take(queue) == A
    queue.add(A)
    queue.done(A)
    queue.add(A)
    queue.add(B)
    assert await take(queue) == B
    assert len(queue) == 0
    clock.now += REST_SECONDS
    assert await take(queue) == A
    queue.done(A)
    queue.close()
    assert await queue.get() is None


async def test_an_edit_does_not_wait_for_the_rest() -> None:
    queue = WorkQueue(Clock())
    for _ in range(3):
        queue.add(A, Urgency.EDITED)
        assert await take(queue) == A
        queue.done(A)


async def test_a_run_that_is_due_before_the_key_has_rested_waits_without_work_and_comes_then() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A)
    assert await take(queue) == A
    queue.add_after(A, 0)
    queue.done(A)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await queue.get()
    clock.now += REST_SECONDS
    queue.add(B)
    assert {await take(queue), await take(queue)} == {A, B}


async def test_a_queue_is_pressed_while_keys_wait_that_are_more_than_routine() -> None:
    queue = WorkQueue()
    queue.add(A)
    assert not queue.is_pressed()
    queue.add(B, Urgency.NEW)
    assert queue.is_pressed()
    assert await take(queue) == B
    assert not queue.is_pressed()
