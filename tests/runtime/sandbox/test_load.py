"""A short run of `benchmarks.load`: every kind of cell at once, and nothing stays behind."""

from __future__ import annotations

from benchmarks.load import run

CLIENTS = 24
SECONDS = 12.0
KINDS = {
    "branch",
    "crash",
    "create",
    "delete",
    "endless",
    "error",
    "flood",
    "fork",
    "get",
    "good",
    "greedy",
    "host call",
    "one-shot",
    "put",
    "resume",
    "slow",
}


async def test_a_mix_of_good_and_bad_cells_is_answered_within_the_bounds_and_leaves_nothing_behind() -> None:
    results = await run(CLIENTS, SECONDS)
    assert not results["problems"], results["examples"]
    assert set(results["latencies_ms"]) >= KINDS
    assert results["statuses"]["429"] > 0
    assert results["longest_queue"]["seen"] == results["longest_queue"]["bound"]
