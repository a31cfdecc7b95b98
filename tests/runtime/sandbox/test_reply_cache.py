"""Replies to cacheable requests: found by the same caller for the same request, bounded, never of a bad moment."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.sandbox.dialogue import SessionOptions
from runtime.sandbox.reply_cache import LARGEST_SHARE, ReplyCache
from runtime.sandbox.turn import Batch
from runtime.wire import CellReply, CheckpointPolicy, ErrorCode, LocalsMode, Status
from tests.runtime.sandbox.client import SandboxClient, new_id

OPTIONS = SessionOptions((), CheckpointPolicy.OFF, output_bytes=1 << 20, memory_bytes=1 << 28)
RANDOM = "import uuid; str(uuid.uuid4())"
HITS = ("wasm_execution_cache_hits_total", "")
RUNS = ("wasm_execution_requests_total", "ok")


def batch(code: str) -> Batch:
    return Batch((code,), 30.0, LocalsMode.SUMMARY)


def reply(result: str) -> CellReply:
    return CellReply(session_id="s", cell=1, status=Status.OK, result=result)


async def test_the_same_request_is_answered_by_the_same_reply_and_nothing_runs(client: SandboxClient) -> None:
    before = await client.metrics()
    first = await client.execute(RANDOM, cacheable=True)
    again = await client.execute(RANDOM, cacheable=True)
    assert (first.cached, first.created) == (False, True)
    assert (again.cached, again.created, again.timing.ran) == (True, False, 0)
    assert again.result == first.result
    assert again.execution_time == first.execution_time
    after = await client.metrics()
    assert after[HITS] == before[HITS] + 1
    assert after[RUNS] == before[RUNS] + 1


async def test_a_request_that_is_not_cacheable_runs_and_its_reply_is_not_kept(client: SandboxClient) -> None:
    code = f"{RANDOM} # not kept"
    plain = await client.execute(code)
    kept = await client.execute(code, cacheable=True)
    again = await client.execute(code)
    assert len({plain.result, kept.result, again.result}) == 3


@pytest.mark.parametrize("change", [{"timeout": 7}, {"locals": "none"}, {"locals": "values"}])
async def test_other_limits_or_locals_are_another_request(client: SandboxClient, change: dict[str, Any]) -> None:
    first = await client.execute(RANDOM, cacheable=True)
    assert (await client.execute(RANDOM, cacheable=True, **change)).result != first.result


async def test_a_list_of_cells_is_another_request_than_its_text_and_is_kept_whole(client: SandboxClient) -> None:
    cells = ["x = 1", f"x; {RANDOM}"]
    first = await client.execute_all(cells, cacheable=True)
    again = await client.execute_all(cells, cacheable=True)
    assert [result.result for result in again] == [result.result for result in first]
    assert all(result.cached for result in again)
    assert not (await client.execute("\n".join(cells), cacheable=True)).cached


async def test_an_exception_is_kept(client: SandboxClient) -> None:
    code = "import uuid; raise ValueError(uuid.uuid4())"
    first = await client.execute(code, cacheable=True)
    assert first.status is Status.ERROR
    assert (await client.execute(code, cacheable=True)).error == first.error


@pytest.mark.parametrize("code", ["while True: pass", "import os; os._exit(1)"])
async def test_what_was_ended_from_outside_or_crashed_is_run_again(client: SandboxClient, code: str) -> None:
    for _ in range(2):
        again = await client.execute(code, cacheable=True, timeout=0.5)
        assert again.status in (Status.TIMEOUT, Status.CRASHED)
        assert not again.cached


async def test_another_callers_replies_are_not_found(client: SandboxClient, stranger: SandboxClient) -> None:
    code = f"{RANDOM} # of one caller"
    mine = await client.execute(code, cacheable=True)
    theirs = await stranger.execute(code, cacheable=True)
    assert not theirs.cached
    assert theirs.result != mine.result


@pytest.mark.parametrize("field", [{"session_id": new_id()}, {"host_functions": ["ask"]}])
async def test_cacheable_with_a_session_or_host_functions_is_400(client: SandboxClient, field: dict[str, Any]) -> None:
    body = {"code": "1", "cacheable": True, **field}
    error = await client.refused(400, ErrorCode.MALFORMED, "POST", "/execute", json=body)
    assert "only without session_id and host_functions" in error.message


def test_the_reply_used_longest_ago_goes_first() -> None:
    cache = ReplyCache("stdlib", 1 << 20, max_entries=2)
    for code in ("a", "b"):
        cache.keep("alice", batch(code), OPTIONS, reply(code))
    cache.find("alice", batch("a"), OPTIONS)
    cache.keep("alice", batch("c"), OPTIONS, reply("c"))
    assert [cache.find("alice", batch(code), OPTIONS) is not None for code in "abc"] == [True, False, True]


def test_a_caller_who_fills_the_cache_evicts_nobody_elses_replies() -> None:
    cache = ReplyCache("stdlib", 100_000)
    cache.keep("bob", batch("his"), OPTIONS, reply("his"))
    for number in range(1_000):
        cache.keep("alice", batch(str(number)), OPTIONS, reply("x" * 1_000))
        assert cache.size <= 100_000
    assert len(cache) > 10
    assert cache.find("bob", batch("his"), OPTIONS) is not None


def test_entries_are_bounded_with_the_caller_who_has_most_losing() -> None:
    cache = ReplyCache("stdlib", 1 << 20, max_entries=10)
    cache.keep("bob", batch("his"), OPTIONS, reply("his"))
    for number in range(100):
        cache.keep("alice", batch(str(number)), OPTIONS, reply("hers"))
    assert len(cache) == 10
    assert cache.find("bob", batch("his"), OPTIONS) is not None


def test_a_reply_too_large_for_its_share_is_not_kept_and_evicts_nothing() -> None:
    cache = ReplyCache("stdlib", 100_000)
    cache.keep("alice", batch("small"), OPTIONS, reply("1"))
    cache.keep("alice", batch("large"), OPTIONS, reply("x" * (100_000 // LARGEST_SHARE)))
    assert cache.find("alice", batch("large"), OPTIONS) is None
    assert cache.find("alice", batch("small"), OPTIONS) is not None


def test_keeping_a_reply_again_replaces_it() -> None:
    cache = ReplyCache("stdlib", 100_000)
    for result in ("first", "second"):
        cache.keep("alice", batch("code"), OPTIONS, reply(result))
    found = cache.find("alice", batch("code"), OPTIONS)
    assert found is not None
    assert (found.result, len(cache)) == ("second", 1)


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = ReplyCache("stdlib", 0)
    cache.keep("alice", batch("code"), OPTIONS, reply("1"))
    assert cache.find("alice", batch("code"), OPTIONS) is None
