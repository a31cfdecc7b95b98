"""A response is polled, cancelled, followed, continued and deleted at any replica."""

from __future__ import annotations

import asyncio

import openai
import pytest

from tests.runtime.inference.peers.conftest import Caller
from tests.runtime.inference.scripted_model import Gate, Hang, ScriptedModel
from tests.runtime.inference.test_responses import LONG, SHOW, ask, poll


async def test_background_response_is_polled_at_another_replica_to_its_end(
    caller: Caller, model: ScriptedModel
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    async with caller.at(0) as first, caller.at(1) as second, caller.at(2) as third:
        begun = await ask(first, background=True)
        assert (await second.responses.retrieve(begun.id)).status == "in_progress"
        gate.set()
        done = await poll(third, begun.id)
        assert (done.status, done.output_text, done.id) == ("completed", "42", begun.id)
        assert await second.responses.retrieve(begun.id) == done == await first.responses.retrieve(begun.id)
        items = await second.responses.input_items.list(begun.id)
        assert len(items.data) == 1
        await second.responses.delete(begun.id)
        for client in (first, second, third):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(begun.id)


async def test_cancel_at_another_replica_ends_the_model_call(caller: Caller, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    async with caller.at(0) as first, caller.at(1) as second:
        begun = await ask(first, background=True)
        await model.until(lambda scripted: scripted.hanging == 1)
        assert (await second.responses.cancel(begun.id)).status == "cancelled"
        await model.until(lambda scripted: scripted.abandoned == 1)


async def test_stream_is_resumed_at_another_replica_while_the_run_goes_on(caller: Caller, model: ScriptedModel) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    async with caller.at(0) as first, caller.at(1) as second:
        async with await first.responses.create(
            model="rlm-test", input="q", background=True, stream=True
        ) as begun:  # dropped after its first event
            created = await anext(aiter(begun))
        assert created.type == "response.created"
        resumed = await second.responses.retrieve(
            created.response.id, stream=True, starting_after=created.sequence_number
        )
        assert (await anext(resumed)).sequence_number == created.sequence_number + 1
        gate.set()
        rest = [event async for event in resumed]
        whole = [event async for event in await first.responses.retrieve(created.response.id, stream=True)]
    assert rest[-1].type == "response.completed"
    assert rest == whole[2:]


async def test_conversation_goes_on_over_three_replicas(caller: Caller, model: ScriptedModel) -> None:
    model.enqueue("FINAL(one)", "FINAL(two)", SHOW)
    async with caller.at(0) as first, caller.at(1) as second, caller.at(2) as third:
        one = await ask(first, [{"role": "user", "content": [{"type": "input_text", "text": LONG}]}])
        two = await ask(second, "And then?", previous_response_id=one.id)
        three = await ask(third, "And now?", previous_response_id=two.id)
        context, history = eval(three.output_text)  # noqa: S307  # a repr of two plain values
        assert context == LONG
        assert [turn["content"] for turn in history][-3:] == ["one", "And then?", "two"]
        await third.responses.delete(one.id)
        with pytest.raises(openai.NotFoundError) as gone:
            await ask(third, "And now?", previous_response_id=two.id)
    assert (gone.value.code, gone.value.param) == ("run_not_found", "previous_response_id")
