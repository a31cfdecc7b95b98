"""Closed, open, half open: when a server is worth asking."""

from __future__ import annotations

from runtime.inference.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker, BreakerState


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_failure_opens_it_for_a_while_and_then_half() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    states = [breaker.state]
    breaker.failed()
    states.append(breaker.state)
    clock.now += FIRST_PAUSE
    assert [*states, breaker.state] == [BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN]


def test_each_failed_trial_doubles_the_pause_up_to_the_longest() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    pauses = []
    for _ in range(8):
        breaker.failed()
        started = clock.now
        while breaker.state is BreakerState.OPEN:
            clock.now += 0.5
        pauses.append(clock.now - started)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_failures_while_it_is_open_count_once() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(50):
        breaker.failed()
    clock.now += FIRST_PAUSE
    assert breaker.state is BreakerState.HALF_OPEN


def test_an_answer_closes_it_and_the_next_failure_is_the_first_again() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(4):
        breaker.failed()
        clock.now += LONGEST_PAUSE
    breaker.answered()
    states = [breaker.state]
    breaker.failed()
    clock.now += FIRST_PAUSE
    assert [*states, breaker.state] == [BreakerState.CLOSED, BreakerState.HALF_OPEN]


def test_half_open_for_long_it_is_overdue() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.failed()
    clock.now += FIRST_PAUSE + 1
    assert not breaker.is_overdue
    clock.now += 2 * LONGEST_PAUSE
    assert breaker.is_overdue
