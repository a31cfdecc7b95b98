"""Each budget stops a run that would exceed it, over both surfaces, with its reason and what was found so far; code
that catches everything there is to catch is stopped all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from runtime.inference.events import ChildStarted, RunCompleted
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.asking import failure, repl, run
from tests.runtime.inference.metrics_page import until_ended
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.scripted_model import QUESTION, Hang, Recorded, Reply, ScriptedModel
from tests.runtime.inference.service import SERVED_MODEL, Service
from tests.runtime.inference.test_recursion import PRICES, served

HALF = "answer['content'] = 'half'\n"


@dataclass(frozen=True)
class Case:
    """A run that would go on without end, and the limit that ends it."""

    code: str
    options: dict[str, Any]
    reason: str
    status: int = 422


CASES = {
    "sub-calls, one by one": Case("i = 0\nwhile True: i += 1; llm_query(str(i))", {"max_subcalls": 7}, "max_subcalls"),
    "sub-calls, one batch": Case("llm_query_batched(map(str, range(9)))", {"max_subcalls": 8}, "max_subcalls"),
    "tokens": Case("llm_query_batched(map(str, range(40)))", {"max_tokens": 100_000}, "max_tokens"),
    "cost": Case("llm_query_batched(map(str, range(40)))", {"max_cost": 0.5}, "max_cost"),
    "wall time in calls": Case("while True: llm_query('hang')", {"timeout": 1.5}, "timeout", 504),
    "wall time in code": Case("llm_query('1')\nwhile True: pass", {"timeout": 1.5}, "timeout", 504),
    "errors in a row": Case("llm_query('1')\n1 / 0", {}, "max_consecutive_errors"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_run_beyond_a_budget_ends_with_its_reason_and_partial_answer(
    settings: InferenceSettings, model: ScriptedModel, sandbox: SandboxProcess, tmp_path: Path, case: Case
) -> None:
    """Over the native API, a chat and a chat stream. Nothing stays behind."""
    model.prompt_tokens = 10_000
    model.sub_rule = lambda prompt: Hang() if prompt == "hang" else "ok"
    async with served(settings, tmp_path, prices=PRICES, allowed_models="") as service, service.openai() as client:
        chat = client.chat.completions
        body: Any = {"model": SERVED_MODEL, "messages": [{"role": "user", "content": QUESTION}]}
        body["extra_body"] = {"rlm": case.options}
        for number, surface in enumerate(("native", "chat", "stream"), start=1):
            model.replies.clear()
            model.enqueue(*[repl(HALF + case.code)] * 5)
            if surface == "native":
                failed = await failure(service, options=case.options)
                assert (failed.error.code, failed.partial_answer) == (case.reason, "half")
            elif surface == "chat":
                with pytest.raises(openai.APIStatusError) as refused:
                    await chat.create(**body)
                assert (refused.value.status_code, *_reason(refused.value)) == (case.status, case.reason, "half")
                assert refused.value.response.headers["x-should-retry"] == "false"
            else:
                with pytest.raises(openai.APIError) as broken:
                    [_ async for _ in await chat.create(stream=True, **body)]
                assert _reason(broken.value) == (case.reason, "half")
            assert await service.metric("rlm_budget_stops_total", reason=case.reason) == number
        await model.until(lambda scripted: scripted.hanging == 0)
        await until_ended(service, sandbox)


def _reason(error: openai.APIError) -> tuple[object, object]:
    assert isinstance(error.body, dict)
    return error.body["code"], error.body["partial_answer"]


async def test_turns_that_run_out_give_the_partial_answer_when_the_model_has_none(
    service: Service, model: ScriptedModel
) -> None:
    """Out of turns is no error: the last call asks for the best answer, and here there is nothing in its reply."""
    model.enqueue(*[repl(HALF + "1 + 1")] * 3, "")
    done = (await run(service, options={"max_iterations": 3}))[-1]
    assert isinstance(done, RunCompleted), done
    assert (done.answer, done.stop_reason, done.iterations) == ("half", "max_iterations", 3)


async def test_levels_that_run_out_turn_children_into_plain_calls(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    """Code at every level asks for a child; there are as many levels as the depth and not one more."""
    model.enqueue(repl("FINAL(rlm_query('0'))"))
    model.child_rule = lambda _: repl("FINAL(rlm_query(str(int(context) + 1)))")
    async with served(settings, tmp_path, max_depth=4) as service:
        events = await run(service, options={"max_depth": 3})
    assert isinstance(events[-1], RunCompleted), events[-1]
    assert events[-1].answer == "re: 3"
    assert [event.depth for event in events if isinstance(event, ChildStarted)] == [1, 2, 3]


async def test_child_that_takes_the_last_sub_call_ends_its_sibling_in_the_middle(
    service: Service, model: ScriptedModel
) -> None:
    """Two children of one batch: one waits in a call, the other asks for more than is left for all."""
    model.sub_rule = lambda prompt: Hang() if prompt == "hang" else "ok"
    model.child_rule = _by_question(waiting=repl("llm_query('hang')"), asking=repl("llm_query_batched(['x'] * 30)"))
    model.enqueue(repl(HALF + "rlm_query_batched(['waiting', 'asking'])"))
    failed = await failure(service, options={"max_subcalls": 20})
    assert (failed.error.code, failed.partial_answer) == ("max_subcalls", "half")
    await model.until(lambda scripted: scripted.hanging == 0)


def _by_question(**replies: Reply) -> Callable[[Recorded], Reply]:
    return lambda turn: replies[turn.question]


HOSTILE = {
    "finally": """
i = 0
while True:
    try:
        i += 1
        llm_query(str(i))
    finally:
        continue
""",
    "a context manager that swallows": """
class Swallow:
    def __enter__(self): pass
    def __exit__(self, *raised): return True
i = 0
while True:
    with Swallow():
        i += 1
        llm_query(str(i))
""",
    "generators that take turns and ignore their end": """
def thread(name):
    i = 0
    while True:
        try:
            i += 1
            yield llm_query(f'{name} {i}')
        except BaseException:
            pass
threads = [thread(name) for name in 'abcde']
while True:
    for each in threads:
        try:
            next(each)
        except BaseException:
            pass
""",
    "coroutines": """
async def thread(name):
    i = 0
    while True:
        try:
            i += 1
            llm_query(f'{name} {i}')
        except BaseException:
            pass
for name in 'abc':
    try:
        thread(name).send(None)
    except BaseException:
        pass
""",
    "finalizers": """
class Again:
    def __init__(self, i):
        self.i = i
    def __del__(self):
        try:
            llm_query(str(self.i))
        finally:
            Again(self.i + 1)
while True:
    Again(0)
""",
    "equal prompts": "while True:\n    try:\n        llm_query('same')\n    except BaseException:\n        pass\n",
    "the door itself": """
import sandbox
while True:
    try:
        sandbox.call('llm_query', '{"prompts": ["x", "y"], "model": null}')
    except BaseException:
        pass
""",
    "calls that are refused": """
import sandbox
while True:
    try:
        sandbox.call('llm_query', 'nonsense')
    except BaseException:
        pass
""",
    "host functions that are not there": """
import sandbox
while True:
    try:
        sandbox.call('rlm_query', '{"prompts": []}')
    except BaseException:
        pass
""",
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE)
async def test_endless_calls_of_code_that_catches_everything_end_at_the_cap(
    service: Service, model: ScriptedModel, sandbox: SandboxProcess, code: str
) -> None:
    """What a hostile context might talk a model into."""
    model.enqueue(repl(HALF), repl(code))
    failed = await failure(service, options={"max_subcalls": 25})
    assert (failed.error.code, failed.partial_answer) == ("max_subcalls", "half")
    assert len(model.root_calls) == 2
    assert len(model.sub_calls) <= 25
    await until_ended(service, sandbox)
