"""What one key may ask for: the arithmetic of its requests a minute, and how table and defaults combine."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from runtime.inference.admission import Admission, format_duration
from runtime.inference.errors import RateLimitedError
from runtime.inference.key_limits import KeyLimits, LimitsByKey, parse_key_limits


class HandClock:
    """Seconds that go on only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def build_admission(clock: HandClock, **limits: int) -> Admission:
    return Admission(LimitsByKey(KeyLimits(**limits), {}), clock)


def test_key_has_its_whole_minute_at_once_and_then_one_for_each_share_of_it() -> None:
    clock = HandClock()
    admission = build_admission(clock, requests_per_minute=3)
    seen = [admission.admit_request("alice") for _ in range(4)]
    assert [(standing.remaining, standing.reset) for standing, _ in seen if standing] == [
        (2, 20.0),
        (1, 40.0),
        (0, 60.0),
        (0, 60.0),
    ]
    assert [wait for _, wait in seen] == [0, 0, 0, 20.0]
    clock.now += 19.5
    assert admission.admit_request("alice")[1] == pytest.approx(0.5)
    clock.now += 0.5
    assert [admission.admit_request("alice")[1] for _ in range(2)] == [0, 20.0]


def test_refused_requests_cost_nothing() -> None:
    clock = HandClock()
    admission = build_admission(clock, requests_per_minute=1)
    admission.admit_request("alice")
    for _ in range(100):
        assert admission.admit_request("alice")[1] == 60.0
    clock.now += 60
    assert admission.admit_request("alice")[1] == 0


def test_idle_key_has_no_more_than_its_minute() -> None:
    clock = HandClock()
    admission = build_admission(clock, requests_per_minute=2)
    clock.now += 3600
    assert [admission.admit_request("alice")[1] > 0 for _ in range(3)] == [False, False, True]


def test_keys_do_not_share_their_minute() -> None:
    admission = build_admission(HandClock(), requests_per_minute=1)
    assert [admission.admit_request(name)[1] for name in ("alice", "bob", "alice")] == [0, 0, 60.0]


def test_key_without_a_limit_has_no_standing() -> None:
    assert build_admission(HandClock()).admit_request("alice") == (None, 0.0)


def test_run_beyond_the_limit_is_refused_until_one_ends() -> None:
    admission = build_admission(HandClock(), concurrent_runs=2)
    for _ in range(2):
        admission.begin_run("alice")
    with pytest.raises(RateLimitedError):
        admission.begin_run("alice")
    admission.begin_run("bob")
    admission.end_run("alice")
    admission.begin_run("alice")


def test_as_many_retries_as_were_refused_within_the_minute_are_first_attempts() -> None:
    clock = HandClock()
    admission = build_admission(clock)
    for name, route in [("alice", "/a"), ("alice", "/a"), ("alice", "/b"), ("bob", "/a")]:
        admission.note_refusal(name, route)
    assert [admission.forgive_refusal("alice", "/a") for _ in range(3)] == [True, True, False]
    assert admission.forgive_refusal("alice", "/b")
    clock.now += 61
    assert not admission.forgive_refusal("bob", "/a")


def test_exceptions_replace_only_what_they_name_and_null_is_no_limit() -> None:
    every = KeyLimits(requests_per_minute=10, concurrent_runs=2, file_bytes=5)
    table = parse_key_limits('{"alice": {"requests_per_minute": 600}, "bob": {"concurrent_runs": null}}')
    limits = LimitsByKey(every, table)
    assert limits.of("alice") == KeyLimits(requests_per_minute=600, concurrent_runs=2, file_bytes=5)
    assert limits.of("bob") == KeyLimits(requests_per_minute=10, concurrent_runs=None, file_bytes=5)
    assert limits.of("carol") == every


@pytest.mark.parametrize("text", ["[]", '{"alice": 3}', '{"alice": {"requests": 3}}', '{"a": {"concurrent_runs": 0}}'])
def test_table_that_says_nothing_sensible_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        parse_key_limits(text)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0ms"), (0.012, "12ms"), (1, "1s"), (1.5, "1.5s"), (59.9999, "1m0s"), (360, "6m0s"), (90.25, "1m30.25s")],
)
def test_durations_are_written_as_openai_does(seconds: float, written: str) -> None:
    assert format_duration(seconds) == written
