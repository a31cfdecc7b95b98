"""The soak's own judgement: what streams say, and which counts do not agree."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.soak import count_problems, leak_problems, stream_problems
from benchmarks.soak_client import Outcome, SoakTally, read_outcome
from benchmarks.soak_service import Held

CHAT = (
    b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n: ping\n\n'
    b'data: {"choices": [{"delta": {"content": "b"}}]}\n\n'
)
COUNTS = Counter({"runs ok": 3, "runs cancelled": 1, "calls ok": 20, "tokens prompt": 200, "tokens completion": 60})
SAID = {"answered root": 8, "answered sub": 14, "open": 0}


@pytest.mark.parametrize(
    ("stream", "outcome"),
    [
        (CHAT + b"data: [DONE]\n\n", Outcome("ok", "ab")),
        (CHAT, Outcome("unended")),
        (CHAT + b'data: {"error": {"code": "timeout"}}\n\ndata: [DONE]\n\n', Outcome("timeout")),
        (b'data: {"type": "cell.completed", "error": null}\n\n', Outcome("unended")),
        (b'data: {"type": "cell.completed", "error": {"type": "E"}}\n\n', Outcome("unended")),
        (b'data: {"type": "subcall.completed", "error": "Error: x"}\n\n', Outcome("unended")),
        (b'data: {"type": "run.completed", "answer": "x"}\n\n', Outcome("ok", "x")),
        (b'data: {"type": "run.failed", "error": {"code": "model_error"}}\n\n', Outcome("model_error")),
        (b"", Outcome("unended")),
    ],
)
def test_outcome_of_a_stream_is_read(stream: bytes, outcome: Outcome) -> None:
    assert read_outcome(stream) == outcome


def build_tally(asked: int = 4, dropped: int = 1, ok: int = 3) -> SoakTally:
    return SoakTally(asked=asked, dropped=dropped, outcomes=Counter(ok=ok))


def test_counts_that_agree_are_no_problem() -> None:
    assert count_problems(build_tally(), COUNTS, SAID) == []


@pytest.mark.parametrize(
    ("tally", "found", "said", "problem"),
    [
        (build_tally(asked=5), COUNTS, SAID, "4 runs were counted, 5 were asked for"),
        (build_tally(dropped=0, ok=4), COUNTS, SAID, "3 runs counted as ok, 4 seen"),
        (build_tally(dropped=2), COUNTS, SAID, "1 runs ended unseen, 2 streams were dropped"),
        (build_tally(), COUNTS, {**SAID, "answered sub": 11}, "20 calls counted as ok, the model answered 19"),
        (build_tally(), COUNTS, {**SAID, "answered sub": 40}, "20 calls counted as ok, the model answered 48"),
        (build_tally(), Counter({**COUNTS, "tokens prompt": 190}), SAID, "190 and 60 tokens counted"),
        (build_tally(), COUNTS, {**SAID, "open": 1}, "1 requests are still open at the model"),
    ],
)
def test_counts_that_do_not_agree_are_named(
    tally: SoakTally, found: Counter[str], said: dict[str, int], problem: str
) -> None:
    assert any(said_.startswith(problem) for said_ in count_problems(tally, found, said))


def test_what_stays_behind_or_never_ends_is_named() -> None:
    before = Held(tasks=6, threads=9, descriptors={"pipe": 2}, active={}, rss_bytes=100 << 20)
    after = Held(tasks=7, threads=9, descriptors={"pipe": 2}, active={"rlm_active_runs": 1.0}, rss_bytes=200 << 20)
    problems = leak_problems(before, after, sessions=2)
    assert [problem.split()[0] for problem in problems] == ["still", "2", "left", "the"]
    assert leak_problems(before, before, sessions=0) == []
    tally = SoakTally(stuck=1, wrong=2, refused=3, outcomes=Counter(unended=4))
    assert [problem.split()[0] for problem in stream_problems(tally)] == ["2", "1", "3", "4"]
