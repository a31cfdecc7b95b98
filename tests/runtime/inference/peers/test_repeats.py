"""A request that is repeated at another replica is paid once."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from tests.runtime.inference.peers.conftest import Caller
from tests.runtime.inference.scripted_model import Gate, ScriptedModel
from tests.runtime.inference.service import SERVED_MODEL

RETRY = {"x-stainless-retry-count": "1"}


async def ask(client: openai.AsyncOpenAI, question: str = "How many?", **options: Any) -> str | None:
    messages: Any = [{"role": "user", "content": question}]
    done = await client.chat.completions.create(model=SERVED_MODEL, messages=messages, **options)
    content: str | None = done.choices[0].message.content
    return content


async def test_retry_after_a_dropped_request_joins_the_run_at_the_first_replica(
    caller: Caller, model: ScriptedModel
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    async with caller.at(0) as first, caller.at(1) as second:
        dropped = asyncio.create_task(ask(first))
        await model.until(lambda scripted: len(scripted.requests) == 1)
        dropped.cancel()
        repeated = asyncio.create_task(ask(second, extra_headers=RETRY))
        gate.set()
        assert await repeated == "42"
        assert await ask(second, extra_headers=RETRY) == "42"  # it has ended, and is held for a minute
    assert len(model.requests) == 1


async def test_same_idempotency_key_is_one_run_at_whichever_replica(caller: Caller, model: ScriptedModel) -> None:
    model.enqueue("FINAL(42)", "FINAL(43)")
    same = {"Idempotency-Key": "once"}
    async with caller.at(0) as first, caller.at(1) as second, caller.at(2) as third:
        answers = [await ask(client, extra_headers=same) for client in (first, second, third)]
        assert answers == ["42"] * 3
        assert await ask(third, extra_headers={"Idempotency-Key": "twice"}) == "43"
    assert len(model.requests) == 2


@pytest.mark.parametrize("question", ["How many?", "Another?"])
async def test_equal_and_other_questions_that_are_no_repeats_are_runs_of_their_own(
    caller: Caller, model: ScriptedModel, question: str
) -> None:
    model.enqueue("FINAL(1)", "FINAL(2)")
    async with caller.at(0) as first, caller.at(1) as second:
        assert [await ask(first), await ask(second, question)] == ["1", "2"]
