"""Two sandbox servers restarted in turn under load: what the project's client and a bare one are told."""

from __future__ import annotations

from benchmarks.rolling import run

CLIENTS = 3  # of each of the three kinds


async def test_no_request_is_lost_when_two_servers_are_restarted_in_turn() -> None:
    outcome, _ = await run(rounds=1, clients=CLIENTS)
    assert not outcome.problems()
    assert len(outcome.restarts) == 2
    assert outcome.one_shots > 0
    assert outcome.sessions > 0
    assert outcome.bare[200] > 0
