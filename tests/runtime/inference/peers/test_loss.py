"""Replicas that end, hang or die: what they had is said to be lost or out of reach, never not to exist."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import openai
import pytest

from tests.runtime.inference.peers.conftest import Caller, new_caller
from tests.runtime.inference.peers.replicas import Replica, run_replicas
from tests.runtime.inference.scripted_model import Gate, ScriptedModel
from tests.runtime.inference.test_files import about, upload
from tests.runtime.inference.test_responses import ask

DEADLINE = 60.0


@pytest.fixture
def replicas(environment: dict[str, str], tmp_path: Path) -> Iterator[list[Replica]]:
    """For one test, which ends some of them."""
    with run_replicas(tmp_path, environment) as running:
        yield running


@pytest.fixture
def caller(replicas: list[Replica], keys: Path) -> Caller:
    return new_caller(replicas, keys)


async def refused(use: Callable[[], Awaitable[object]]) -> tuple[int, str | None]:
    with pytest.raises(openai.APIStatusError) as error:
        await use()
    return error.value.status_code, error.value.code


async def until_logged(replica: Replica, message: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while message not in replica.log.read_text():  # noqa: ASYNC110  # another process's file
            await asyncio.sleep(0.02)


async def test_replica_that_drains_answers_for_its_runs_and_what_it_had_is_lost_when_it_has_ended(
    caller: Caller, model: ScriptedModel
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    owner = caller.replicas[0]
    async with caller.at(0) as first, caller.at(1) as second, caller.at(2) as third:
        stored = await upload(first, "one.txt", b"ONE")
        begun = await ask(first, background=True)
        await model.until(lambda scripted: len(scripted.requests) == 1)
        owner.signal(signal.SIGTERM)
        await until_logged(owner, '"draining"')
        assert (await second.responses.retrieve(begun.id)).status == "in_progress"
        assert (await third.files.content(stored.id)).content == b"ONE"
        followed = await third.responses.retrieve(begun.id, stream=True)
        gate.set()
        assert [event.type async for event in followed][-1] == "response.completed"
        await asyncio.to_thread(owner.process.wait, DEADLINE)
        assert owner.process.returncode == 0
        for client in (second, third):
            assert await refused(partial(client.responses.retrieve, begun.id)) == (404, "owner_lost")
            assert await refused(partial(client.files.retrieve, stored.id)) == (404, "owner_lost")
            assert [each.id async for each in client.files.list()] == []
        assert await refused(lambda: ask(second, previous_response_id=begun.id)) == (404, "owner_lost")


async def test_replica_that_hangs_is_out_of_reach_and_one_that_was_killed_has_lost_what_it_had(
    caller: Caller, model: ScriptedModel
) -> None:
    async with caller.at(0) as first, caller.at(1) as second, caller.at(2) as third:
        one, two = await upload(first, "one.txt", b"ONE"), await upload(second, "two.txt", b"TWO")
        assert {each.id async for each in third.files.list()} == {one.id, two.id}
        caller.replicas[0].signal(signal.SIGSTOP)
        page, unknown = await asyncio.gather(
            third.files.list(), refused(lambda: third.files.retrieve("file-" + "0" * 32))
        )
        assert [each.id for each in page.data] == [two.id]
        assert (page.model_extra or {})["missing_replicas"] == 1
        assert unknown == (503, "owner_unreachable")  # the replica that hangs may have it
        caller.replicas[0].signal(signal.SIGCONT)
        assert await third.files.retrieve(one.id) == one

        caller.replicas[0].signal(signal.SIGKILL)
        await asyncio.to_thread(caller.replicas[0].process.wait, DEADLINE)
        assert await refused(lambda: third.files.content(one.id)) == (404, "owner_lost")
        with pytest.raises(openai.NotFoundError) as lost:
            await third.chat.completions.create(model="rlm-test", messages=about(one.id))
        assert (lost.value.code, lost.value.param) == ("owner_lost", "file_id")
        page = await third.files.list()
        assert [each.id for each in page.data] == [two.id]
        assert "missing_replicas" not in (page.model_extra or {})
        assert await refused(lambda: third.files.retrieve("file-" + "0" * 32)) == (404, "owner_lost")
