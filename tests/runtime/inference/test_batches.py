"""Batches of sub-calls: who waits for whom, and what is asked how often."""

from __future__ import annotations

import asyncio

from runtime.inference.events import RunCompleted, SubcallCompleted
from tests.runtime.inference.asking import answer, repl, run
from tests.runtime.inference.scripted_model import Failure, Gate, Reply, ScriptedModel
from tests.runtime.inference.service import Service


async def test_calls_behind_a_slow_one_are_made_before_it_ends(service: Service, model: ScriptedModel) -> None:
    """Two are in flight at most, half of the service's four."""
    opened = asyncio.Event()
    model.sub_rule = lambda prompt: Gate(opened, "slow") if prompt == "p0" else f"<{prompt}>"
    model.enqueue(repl("FINAL(llm_query_batched([f'p{i}' for i in range(6)]))"))
    asked = asyncio.create_task(answer(service))
    await model.until(lambda seen: len(seen.sub_calls) == 6)
    opened.set()
    assert await asked == str(["slow", *(f"<p{index}>" for index in range(1, 6))])


async def test_equal_prompts_wait_for_their_answer_without_taking_the_place_of_others(
    service: Service, model: ScriptedModel
) -> None:
    opened = asyncio.Event()
    model.sub_rule = lambda prompt: Gate(opened, "A") if prompt == "a" else prompt.upper()
    model.enqueue(repl("FINAL(llm_query_batched(['a', 'a', 'a', 'b', 'b']))"))
    asked = asyncio.create_task(answer(service))
    await model.until(lambda seen: [call.prompt for call in seen.sub_calls] == ["a", "b"])
    opened.set()
    assert await asked == str(["A", "A", "A", "B", "B"])


async def test_equal_prompts_that_fail_are_asked_once_and_again_in_the_next_batch(
    service: Service, model: ScriptedModel
) -> None:
    replies: list[Reply] = [Failure(400), "better"]
    model.sub_rule = lambda prompt: replies.pop(0) if prompt == "same" else "other"
    model.enqueue(repl("r = llm_query_batched(['same', 'x', 'same'])\nFINAL(r + llm_query_batched(['same', 'same']))"))
    events = await run(service)
    last = events[-1]
    assert isinstance(last, RunCompleted)
    error = "Error: the model's endpoint refused the request (HTTP 400)"
    assert last.answer == str([error, "other", error, "better", "better"])
    slots = [event for event in events if isinstance(event, SubcallCompleted)]
    assert sorted((event.index, event.reused) for event in slots[:3]) == [(0, False), (1, False), (2, True)]
    assert sorted((event.index, event.reused) for event in slots[3:]) == [(0, False), (1, True)]
