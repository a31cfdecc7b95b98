"""A run whose sandbox server is lost ends with the same answer, and no call is paid twice: the model's log says so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.inference.events import RunCompleted, RunDiverged, RunFailed, SessionRecovered, TrajectoryEvent
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.asking import repl, run
from tests.runtime.inference.sandbox_pair import SandboxPair, run_pair
from tests.runtime.inference.scripted_model import Gate, ScriptedModel
from tests.runtime.inference.service import API_KEY, Service, run_service, write_keys
from tests.runtime.sandbox.processes import zygote_of

PAID_EACH_TIME = {"reuse_answers": False}  # so that only the journal keeps an equal call from being paid again


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxPair]:
    with run_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def pair(servers: SandboxPair) -> SandboxPair:
    servers.heal()
    return servers


@contextlib.asynccontextmanager
async def served(
    settings: InferenceSettings, pair: SandboxPair, folder: Path, **changes: Any
) -> AsyncIterator[Service]:
    pool = {"wasm_service_url": pair.urls, "wasm_api_key_file": pair.key_file}
    changed = settings.model_copy(update={**pool, **changes})
    async with run_service(changed, write_keys(folder / "keys", tester=API_KEY)) as service:
        yield service


@pytest.fixture
async def spread(settings: InferenceSettings, pair: SandboxPair, tmp_path: Path) -> AsyncIterator[Service]:
    """A service over both servers."""
    async with served(settings, pair, tmp_path) as service:
        yield service


def completed(events: list[TrajectoryEvent]) -> RunCompleted:
    last = events[-1]
    assert isinstance(last, RunCompleted), last
    assert last.recoveries == sum(isinstance(event, SessionRecovered) for event in events)
    assert last.diverged == any(isinstance(event, RunDiverged) for event in events)
    return last


def prompts(model: ScriptedModel) -> list[str]:
    """In order of the alphabet, so that one paid twice is seen."""
    return sorted(call.prompt for call in model.sub_calls)


async def test_server_killed_between_cells(spread: Service, model: ScriptedModel, pair: SandboxPair) -> None:
    gate = Gate(asyncio.Event(), repl("FINAL((a, b, n, len(context), n == random.Random(0).random()))"))
    model.enqueue(
        repl("import random\na = llm_query('p')\nn = random.random()\nprint(n, list(set('abcdefghijk')))"),
        repl("b = llm_query_batched(['q', 'p'])\n1/0"),
        gate,
    )
    asking = asyncio.create_task(run(spread, context="c" * 1000, options=PAID_EACH_TIME))
    await model.until(lambda scripted: len(scripted.root_calls) == 3)
    await pair.kill()
    gate.opened.set()
    done = completed(await asking)
    assert done.answer.startswith("('re: p', ['re: q', 're: p'], 0.")
    assert done.answer.endswith(", 1000, False)")
    assert (done.recoveries, done.diverged, done.sub_calls) == (1, False, 3)
    assert prompts(model) == ["p", "p", "q"]
    assert await spread.metric("rlm_session_recoveries_total", outcome="recovered") == 1


async def test_server_killed_in_the_middle_of_a_cell(spread: Service, model: ScriptedModel, pair: SandboxPair) -> None:
    """The loop takes some seconds, so that the kill meets it."""
    model.enqueue(
        repl("r = llm_query_batched(['a', 'b'])\nfor _ in range(60_000_000): pass\nFINAL((r, llm_query('c')))")
    )
    asking = asyncio.create_task(run(spread, options=PAID_EACH_TIME))
    await model.until(lambda scripted: len(scripted.sub_calls) == 2)
    await pair.kill("running")
    done = completed(await asking)
    assert done.answer == "(['re: a', 're: b'], 're: c')"
    assert (done.recoveries, done.diverged, done.sub_calls) == (1, False, 3)
    assert prompts(model) == ["a", "b", "c"]


async def test_session_processes_that_die_under_a_cell_while_the_server_lives(
    spread: Service, model: ScriptedModel, pair: SandboxPair
) -> None:
    """With the zygote all of them die. The server says so in the cell's reply."""
    model.enqueue(repl("r = llm_query('a')"), repl("for _ in range(60_000_000): pass\nFINAL(r)"))
    asking = asyncio.create_task(run(spread, options=PAID_EACH_TIME))
    await model.until(lambda scripted: len(scripted.root_calls) == 2)
    server = await pair.holding("running")
    os.kill(zygote_of(server.process.pid), signal.SIGKILL)
    done = completed(await asking)
    assert (done.answer, done.recoveries, done.diverged, prompts(model)) == ("re: a", 1, False, ["a"])


async def test_cell_that_ends_its_session_each_time_it_runs_is_told_to_the_model(
    service: Service, model: ScriptedModel
) -> None:
    """A branch of a waiting session has no checkpoint before its cell has ended, so a crash ends it."""
    model.enqueue(repl("data = [llm_query('p')]\nFINAL((rlm_query('a'), data))"))
    model.child_rule = lambda turn: (
        repl("import os\ndata.append(llm_query('q'))\nos.abort()")
        if len(turn.messages) == 2
        else repl("FINAL(parent_context)")
    )
    done = completed(await run(service, context="c", options={**PAID_EACH_TIME, "fork_children": True}))
    assert done.answer == "('c', ['re: p'])"
    assert prompts(model) == ["p", "q"]


async def test_server_killed_while_a_batch_is_answered(
    spread: Service, model: ScriptedModel, pair: SandboxPair
) -> None:
    gate = Gate(asyncio.Event(), "late")
    model.sub_rule = lambda prompt: gate if prompt == "b" else f"re: {prompt}"
    model.enqueue(repl("first = llm_query('0')\nr = llm_query_batched(['a', 'b', 'a'])\nFINAL((first, r))"))
    asking = asyncio.create_task(run(spread, options=PAID_EACH_TIME))
    await model.until(lambda scripted: len(scripted.sub_calls) == 4)
    await pair.kill("suspended")
    gate.opened.set()
    done = completed(await asking)
    assert done.answer == "('re: 0', ['re: a', 'late', 're: a'])"
    assert (done.recoveries, done.diverged, done.sub_calls) == (1, False, 4)
    assert prompts(model) == ["0", "a", "a", "b"]


async def test_server_that_drains_away_under_a_suspended_and_an_idle_session(
    spread: Service, model: ScriptedModel, pair: SandboxPair
) -> None:
    """The cell under way ends where it is; the next one finds the server gone."""
    call, turn = Gate(asyncio.Event(), "late"), Gate(asyncio.Event(), repl("FINAL(r)"))
    model.sub_rule = lambda _: call
    model.enqueue(repl("r = llm_query('a')"), turn)
    asking = asyncio.create_task(run(spread, options=PAID_EACH_TIME))
    await model.until(lambda scripted: len(scripted.sub_calls) == 1)
    stopped = await pair.end(signal.SIGTERM, "suspended")
    call.opened.set()
    await asyncio.to_thread(stopped.process.wait)
    turn.opened.set()
    done = completed(await asking)
    assert (done.answer, done.recoveries, done.diverged, prompts(model)) == ("late", 1, False, ["a"])


@pytest.mark.parametrize("code", ["os.urandom(8).hex()", "str(time.time_ns())"])
async def test_code_that_asks_something_else_when_it_runs_again_gets_the_answer_to_that(
    spread: Service, model: ScriptedModel, pair: SandboxPair, code: str
) -> None:
    gate = Gate(asyncio.Event(), repl("FINAL((r == ['re: same', 're: ' + p], p))"))
    model.enqueue(repl(f"import os, time\np = {code}\nr = llm_query_batched(['same', p])"), gate)
    asking = asyncio.create_task(run(spread, options=PAID_EACH_TIME))
    await model.until(lambda scripted: len(scripted.root_calls) == 2)
    await pair.kill()
    gate.opened.set()
    done = completed(await asking)
    assert done.answer == f"(True, {model.sub_calls[-1].prompt!r})"
    assert (done.recoveries, done.diverged, done.sub_calls) == (1, True, 3)
    assert len(set(prompts(model))) == len(prompts(model)) == 3
    assert await spread.metric("rlm_diverged_runs_total") == 1
    assert await spread.metric("rlm_session_recoveries_total", outcome="diverged") == 1


async def test_code_that_says_something_else_when_it_runs_again_is_marked(
    spread: Service, model: ScriptedModel, pair: SandboxPair
) -> None:
    gate = Gate(asyncio.Event(), repl("FINAL(1)"))
    model.enqueue(repl("import time\nprint(time.time_ns())"), gate)
    asking = asyncio.create_task(run(spread))
    await model.until(lambda scripted: len(scripted.root_calls) == 2)
    await pair.kill()
    gate.opened.set()
    assert completed(await asking).diverged


async def test_server_killed_under_child_runs_with_sessions_of_their_own(
    spread: Service, model: ScriptedModel, pair: SandboxPair
) -> None:
    """Parent and children are spread over both servers, and one of the children waits for its model."""
    gate = Gate(asyncio.Event(), "late")
    model.sub_rule = lambda prompt: gate if prompt == "from b" else f"re: {prompt}"
    model.enqueue(repl("r = rlm_query_batched(['a', 'b'])\nFINAL(r)"))
    model.child_rule = lambda _: repl("FINAL(llm_query('from ' + context))")
    asking = asyncio.create_task(run(spread, options=PAID_EACH_TIME))
    await model.until(lambda scripted: len(scripted.sub_calls) == 2)
    await pair.kill("suspended")
    gate.opened.set()
    done = completed(await asking)
    assert done.answer == "['re: from a', 'late']"
    assert (done.recoveries > 0, done.diverged) == (True, False)
    assert prompts(model) == ["from a", "from b"]
    assert len(model.root_calls) == 3


async def test_server_killed_under_child_runs_in_copies(
    spread: Service, model: ScriptedModel, pair: SandboxPair
) -> None:
    """A copy is on its parent's server: both are made again, the child's from what the parent had asked and heard."""
    gate = Gate(asyncio.Event(), "late")
    model.sub_rule = lambda prompt: gate if prompt == "from b" else f"re: {prompt}"
    model.enqueue(
        repl("data = [llm_query('p')]"),
        repl("data.append(llm_query('q'))\nr = rlm_query_batched(['a', 'b'])\nFINAL((r, data))"),
    )
    model.child_rule = lambda _: repl("data.append(context)\nFINAL((llm_query('from ' + context), data))")
    asking = asyncio.create_task(run(spread, options={**PAID_EACH_TIME, "fork_children": True}))
    await model.until(lambda scripted: len(scripted.sub_calls) == 4)
    await pair.kill("suspended")
    gate.opened.set()
    done = completed(await asking)
    assert done.answer == (
        """(["('re: from a', ['re: p', 're: q', 'a'])", "('late', ['re: p', 're: q', 'b'])"], ['re: p', 're: q'])"""
    )
    assert (done.recoveries >= 2, done.diverged) == (True, False)  # the other child may have ended before
    assert prompts(model) == ["from a", "from b", "p", "q"]
    assert len(model.root_calls) == 4


async def test_copy_of_a_session_that_does_not_do_the_same_again_is_an_error_in_its_slot(
    spread: Service, model: ScriptedModel, pair: SandboxPair
) -> None:
    gate = Gate(asyncio.Event(), "late")
    model.sub_rule = lambda _: gate
    model.enqueue(repl("import os\nprint(os.urandom(4))\nr = rlm_query('a')\nFINAL(r)"))
    model.child_rule = lambda _: repl("FINAL(llm_query('from ' + context))")
    options = {"fork_children": True}
    asking = asyncio.create_task(run(spread, options=options))
    await model.until(lambda scripted: len(scripted.sub_calls) == 1)
    await pair.kill("suspended")
    gate.opened.set()
    done = completed(await asking)
    assert done.answer == "Error: the child run gave no answer (sandbox_unavailable)"
    assert done.diverged


async def test_without_any_server_left_the_run_fails(
    settings: InferenceSettings, model: ScriptedModel, pair: SandboxPair, tmp_path: Path
) -> None:
    gate = Gate(asyncio.Event(), repl("FINAL(1)"))
    model.enqueue(repl("x = 1"), gate)
    async with served(settings, pair, tmp_path, recovery_seconds=0.5) as service:
        asking = asyncio.create_task(run(service))
        await model.until(lambda scripted: len(scripted.root_calls) == 2)
        for server in pair.servers:
            server.process.kill()
            await asyncio.to_thread(server.process.wait)
        gate.opened.set()
        failed = (await asking)[-1]
        assert isinstance(failed, RunFailed)
        assert failed.error.code == "sandbox_unavailable"
        assert await service.metric("rlm_session_recoveries_total", outcome="failed") == 1


async def test_cells_that_a_crash_took_along_run_again_with_the_answers_they_had(
    service: Service, model: ScriptedModel
) -> None:
    """Blocks of one reply follow each other so fast that the session is not copied between them."""
    blocks = ["a = [llm_query('p')]", "a.append(llm_query('q'))", "a.append(3)", "import os\nos._exit(1)"]
    model.enqueue("\n".join(repl(code) for code in blocks), repl("FINAL((a, len(context)))"))
    done = completed(await run(service, context="c" * 1000, options=PAID_EACH_TIME))
    assert done.answer == "(['re: p', 're: q', 3], 1000)"
    assert prompts(model) == ["p", "q"]
