"""Child runs: sessions of their own, one budget for the whole tree, no deadlock."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.inference.events import (
    CellCompleted,
    ChildCompleted,
    ChildStarted,
    ModelCompleted,
    RunCompleted,
    SubcallCompleted,
    SubcallsStarted,
)
from runtime.inference.settings import InferenceSettings
from runtime.wire import Status
from tests.runtime.inference.asking import answer, failure, repl, run
from tests.runtime.inference.metrics_page import until_ended
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.scripted_model import (
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    Failure,
    Hang,
    Reply,
    ScriptedModel,
)
from tests.runtime.inference.service import API_KEY, Service, run_service, write_keys
from tests.runtime.inference.test_cancel import streaming

PRICES = {"root-model": {"input": 1.0, "output": 10.0}, "sub-model": {"input": 2.0, "output": 20.0}}


@contextlib.asynccontextmanager
async def served(settings: InferenceSettings, folder: Path, **changes: Any) -> AsyncIterator[Service]:
    """A service with other settings."""
    keys = write_keys(folder / "keys", tester=API_KEY)
    changed = InferenceSettings.model_validate({**settings.model_dump(), **changes})
    async with run_service(changed, keys) as service:
        yield service


async def test_child_run_has_its_own_session_with_the_prompt_as_context(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("mine = 1\nFINAL(rlm_query('count: ' + 'ab' * 3))"))
    model.child_rule = lambda _: repl("FINAL((context.count('a'), 'mine' in globals(), history))")
    events = await run(service, context="the root's")
    done = events[-1]
    assert isinstance(done, RunCompleted), done
    assert done.answer == "(3, False, [])"
    assert (done.iterations, done.sub_calls) == (1, 1)
    root, child = model.root_calls
    assert (root.model, child.model, child.question) == ("root-model", "root-model", "count: ababab")
    assert done.usage.total_tokens == 2 * (PROMPT_TOKENS + COMPLETION_TOKENS)


async def test_events_of_a_child_carry_its_node_between_its_start_and_its_end(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue(repl("FINAL(rlm_query_batched(['one', 'two']))"))
    model.child_rule = lambda turn: f"FINAL(<{turn.question}>)"
    events = await run(service)
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].answer == "['<one>', '<two>']"
    asked = next(event for event in events if isinstance(event, SubcallsStarted))
    assert (asked.node, asked.kind, asked.count) == (0, "rlm", 2)
    for started in (event for event in events if isinstance(event, ChildStarted)):
        assert (started.parent, started.depth, started.model) == (0, 1, "root-model")
        inside = [event for event in events if event.node == started.node]
        assert inside[0] is started
        assert isinstance(inside[-1], ChildCompleted)
        assert inside[-1].response_preview == f"<{started.prompt_preview}>"
        assert any(isinstance(event, ModelCompleted) for event in inside)
        slot = next(event for event in events if isinstance(event, SubcallCompleted) and event.child == started.node)
        assert (slot.node, slot.index, slot.usage) == (0, started.index, inside[-1].usage)


async def test_long_prompt_is_the_childs_context_and_shown_by_its_ends_only(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue(repl("FINAL(rlm_query('START' + 'x' * 50_000 + 'What is at the end?'))"))
    model.child_rule = lambda _: repl("FINAL(len(context))")
    assert await answer(service) == "50024"
    assert "START" in model.root_calls[1].question
    assert len(model.root_calls[1].question) < 3_000


async def test_at_the_largest_depth_rlm_query_is_llm_query(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("FINAL(rlm_query('p'))"))
    assert await answer(service, options={"max_depth": 0}) == "re: p"
    model.enqueue(repl("FINAL(rlm_query('outer'))"))
    model.child_rule = lambda _: repl("FINAL(rlm_query('inner') + '!')")
    assert await answer(service) == "re: inner!"
    assert [call.model for call in model.sub_calls] == ["sub-model", "sub-model"]


async def test_three_levels_of_children_answer_each_other(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    model.enqueue(repl("FINAL(rlm_query('1'))"))
    model.child_rule = lambda _: repl("FINAL(context + rlm_query(str(int(context) + 1)))")
    async with served(settings, tmp_path, max_depth=3) as service:
        events = await run(service)
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].answer == "123re: 4"
    depths = [(event.depth, event.parent) for event in events if isinstance(event, ChildStarted)]
    assert depths == [(1, 0), (2, 1), (3, 2)]


async def test_parents_that_wait_for_children_leave_them_room(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    """One model call and one child of each level at a time: whoever waited with a slot in hand would wait for ever."""
    model.enqueue(repl("FINAL(rlm_query_batched(['a', 'b', 'c']))"))
    model.child_rule = lambda _: repl(
        "FINAL(''.join(rlm_query_batched([context + '1', context + '2'])) if len(context) == 1 else llm_query(context))"
    )
    async with served(settings, tmp_path, max_depth=2, max_concurrency=1, max_child_runs=1) as service:
        assert await answer(service) == "['re: a1re: a2', 're: b1re: b2', 're: c1re: c2']"


async def test_child_may_name_an_allowed_model_only(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("FINAL([rlm_query('p', model='third-model'), rlm_query('p', 'evil')])"))
    model.child_rule = lambda turn: f"FINAL({turn.model})"
    text = await answer(service)
    assert text.startswith("['third-model', \"Error: model 'evil' is not one of")


@pytest.mark.parametrize(
    ("reply", "code"),
    [(Failure(401), "model_error"), ("no code, five times", "max_consecutive_errors")],
)
async def test_child_that_fails_is_an_error_string_in_its_slot(
    service: Service, model: ScriptedModel, reply: Reply, code: str
) -> None:
    model.enqueue(repl("FINAL(rlm_query_batched(['good', 'bad']))"))
    model.child_rule = lambda turn: reply if turn.question == "bad" else "FINAL(fine)"
    assert await answer(service) == f"['fine', 'Error: the child run gave no answer ({code})']"
    assert await service.metric("rlm_child_runs_total", status="ok") == 1
    assert await service.metric("rlm_child_runs_total", status="failed") == 1


async def test_turns_of_children_count_as_sub_calls_of_the_root(service: Service, model: ScriptedModel) -> None:
    """1 that asked for the child, 3 in its batch, 1 for its second turn; the third turn is one too many."""
    model.enqueue(repl("answer['content'] = 'half'\nrlm_query('p')"))
    turns = iter([repl("llm_query_batched(['x', 'y', 'z'])"), repl("pass"), "FINAL(never)"])
    model.child_rule = lambda _: next(turns)
    failed = await failure(service, options={"max_subcalls": 5})
    assert (failed.error.code, failed.partial_answer) == ("max_subcalls", "half")
    assert len(model.root_calls) == 3
    assert len(model.sub_calls) == 3


async def test_tokens_of_children_and_their_sub_calls_end_the_root_in_the_middle_of_a_batch(
    service: Service, model: ScriptedModel
) -> None:
    model.prompt_tokens = 10_000
    model.enqueue(repl("answer['content'] = 'half'\nrlm_query('p')"))
    model.child_rule = lambda _: repl("llm_query_batched([f'q{i}' for i in range(40)])")
    failed = await failure(service, options={"max_tokens": 60_000})
    assert (failed.error.code, failed.partial_answer) == ("max_tokens", "half")
    assert 4 <= len(model.sub_calls) <= 6  # two turns of 10,003 tokens before; up to two calls were in flight
    assert await service.metric("rlm_budget_stops_total", reason="max_tokens") == 1


async def test_prompt_that_alone_exceeds_the_tokens_left_is_not_sent(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("llm_query('x' * 400_000)"))
    assert (await failure(service, options={"max_tokens": 50_000})).error.code == "max_tokens"
    assert model.sub_calls == []


async def test_money_of_the_whole_tree_ends_the_run(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    model.prompt_tokens = 100_000  # 0.2 USD a sub-call, 0.1 a turn
    model.enqueue(repl("answer['content'] = 'half'\nrlm_query('p')"))
    model.child_rule = lambda _: repl("for i in range(40): llm_query(f'q{i}')")
    async with served(settings, tmp_path, prices=PRICES, allowed_models="", max_cost=1.0) as service:
        failed = await failure(service)
        assert (failed.error.code, failed.partial_answer) == ("max_cost", "half")
        assert len(model.sub_calls) == 4
        assert await service.metric("rlm_llm_cost_dollars_total", model="sub-model", role="sub") > 0.8


async def test_usage_and_cost_are_reported_per_model_and_in_all(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    model.enqueue(repl("FINAL(rlm_query('p'))"))
    model.child_rule = lambda _: repl("FINAL(llm_query_batched(['q', 'r']))")
    async with served(settings, tmp_path, prices=PRICES, allowed_models="") as service:
        done = (await run(service))[-1]
    assert isinstance(done, RunCompleted)
    root, sub = done.usage_by_model["root-model"], done.usage_by_model["sub-model"]
    assert (root.prompt_tokens, sub.prompt_tokens) == (2 * PROMPT_TOKENS, 2 * PROMPT_TOKENS)
    assert root.cost == pytest.approx((2 * PROMPT_TOKENS * 1 + 2 * COMPLETION_TOKENS * 10) / 1e6)
    assert sub.cost == pytest.approx((2 * PROMPT_TOKENS * 2 + 2 * COMPLETION_TOKENS * 20) / 1e6)
    assert root.cost is not None
    assert sub.cost is not None
    assert done.usage.cost == pytest.approx(root.cost + sub.cost)


@pytest.mark.parametrize(
    ("options", "code"),
    [({"timeout": 2}, "timeout"), ({"max_tokens": 30_000}, "max_tokens"), ({"max_cost": 0.3}, "max_cost")],
)
async def test_batch_is_ended_in_its_middle_with_its_calls_in_flight(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path, options: dict[str, Any], code: str
) -> None:
    """Two calls at a time: the first half of the prompts is answered, the others hang until the run lets go of them."""
    model.prompt_tokens = 10_000 if code == "max_tokens" else 100_000
    model.sub_rule = lambda prompt: Hang() if code == "timeout" and int(prompt) > 10 else "ok"
    model.enqueue(repl("answer['content'] = 'half'\nllm_query_batched([str(i) for i in range(20)])"))
    async with served(settings, tmp_path, prices=PRICES, allowed_models="") as service:
        failed = await failure(service, options=options)
    assert (failed.error.code, failed.partial_answer) == (code, "half")
    assert 1 <= len(model.sub_calls) < 20
    assert failed.usage.cost == pytest.approx(sum(each.cost or 0 for each in failed.usage_by_model.values()))
    assert failed.usage.total_tokens > 0
    await model.until(lambda scripted: scripted.hanging == 0)


async def test_time_ends_a_tree_that_waits_for_a_childs_call(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("answer['content'] = 'half'\nrlm_query('p')"))
    model.child_rule = lambda _: Hang()
    failed = await failure(service, options={"timeout": 2})
    assert (failed.error.code, failed.partial_answer) == ("timeout", "half")
    await model.until(lambda scripted: scripted.abandoned == 1)


async def test_dropped_stream_ends_children_and_their_sessions(
    service: Service, sandbox: SandboxProcess, model: ScriptedModel
) -> None:
    model.enqueue(repl("rlm_query_batched(['a', 'b'])"))
    model.child_rule = lambda _: Hang()
    async with streaming(service):
        await model.until(lambda scripted: scripted.hanging == 2)
    await model.until(lambda scripted: scripted.abandoned == 2)
    await until_ended(service, sandbox)


@pytest.mark.parametrize("query", ["llm_query", "rlm_query"])
async def test_code_that_asks_without_end_and_catches_everything_is_stopped(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path, query: str
) -> None:
    """What a hostile context might talk a model into: at every level, code that swallows whatever is thrown at it."""
    code = f"""
i = 0
while True:
    try:
        i += 1
        {query}(f'{{i}} {{context}}')
    except BaseException:
        pass
"""
    model.enqueue(repl(code))
    model.child_rule = lambda _: repl(code)
    async with served(settings, tmp_path, max_depth=2, max_subcalls=40) as service:
        failed = await failure(service)
    assert failed.error.code == "max_subcalls"
    assert len(model.requests) <= 1 + 40


async def test_children_that_ask_for_more_children_are_stopped_by_width_times_depth(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    bomb = repl("rlm_query_batched([f'{i} {context}' for i in range(9)])")
    model.enqueue(bomb)
    model.child_rule = lambda _: bomb
    async with served(settings, tmp_path, max_depth=10, max_subcalls=30) as service:
        failed = await failure(service)
    assert failed.error.code == "max_subcalls"
    assert len(model.requests) <= 1 + 30


async def test_cell_of_a_child_that_crashes_leaves_the_parent_alone(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("kept = 40\nn = int(rlm_query('p'))"), repl("FINAL(kept + n)"))
    turns = iter([repl("import os\nos._exit(1)"), "FINAL(2)"])
    model.child_rule = lambda _: next(turns)
    events = await run(service)
    assert isinstance(events[-1], RunCompleted), events[-1]
    assert events[-1].answer == "42"
    assert next(event.status for event in events if isinstance(event, CellCompleted)) is Status.CRASHED


async def test_identical_sub_calls_are_asked_once_in_a_batch_and_later(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("r = llm_query_batched(['p', 'q', 'p'])\nFINAL(r + [llm_query('p'), rlm_query('child')])"))
    model.child_rule = lambda _: repl("FINAL(llm_query('p') + llm_query('p', model='third-model'))")
    events = await run(service)
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].answer == "['re: p', 're: q', 're: p', 're: p', 're: pre: p']"
    assert [(call.prompt, call.model) for call in model.sub_calls] == [
        ("p", "sub-model"),
        ("q", "sub-model"),
        ("p", "third-model"),
    ]
    reused = [event for event in events if isinstance(event, SubcallCompleted) and event.reused]
    assert len(reused) == 3
    assert {event.usage.total_tokens for event in reused} == {0}


async def test_identical_child_runs_are_made_once(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("FINAL(rlm_query_batched(['p', 'p']) + [rlm_query('p')])"))
    model.child_rule = lambda _: "FINAL(once)"
    assert await answer(service) == "['once', 'once', 'once']"
    assert len(model.root_calls) == 2


async def test_identical_sub_calls_are_asked_each_time_when_the_caller_wants_it(
    service: Service, model: ScriptedModel
) -> None:
    answers = iter(range(10))
    model.sub_rule = lambda _: str(next(answers))
    model.enqueue(repl("FINAL(sorted(llm_query_batched(['p'] * 3)))"))
    assert await answer(service, options={"reuse_answers": False}) == "['0', '1', '2']"


async def test_failed_sub_call_is_not_reused(service: Service, model: ScriptedModel) -> None:
    replies: list[Reply] = [Failure(400), "ok"]
    model.sub_rule = lambda _: replies.pop(0)
    model.enqueue(repl("FINAL([llm_query('p')[:6], llm_query('p')])"))
    assert await answer(service) == "['Error:', 'ok']"


async def test_second_run_does_not_see_the_first_ones_answers(service: Service, model: ScriptedModel) -> None:
    for _ in range(2):
        model.enqueue(repl("FINAL(llm_query('p'))"))
        assert await answer(service) == "re: p"
    assert len(model.sub_calls) == 2


async def test_cost_limit_without_a_price_table_is_refused(service: Service) -> None:
    async with service.http.post(
        f"{service.url}/rlm/v1/runs", json={"query": "q", "options": {"max_cost": 1}}
    ) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["param"] == "options.max_cost"


async def test_child_in_a_copy_has_the_asking_runs_variables_and_changes_none_of_them(
    service: Service, sandbox: SandboxProcess, model: ScriptedModel
) -> None:
    """Both children begin where the code asked, each on its own."""
    model.enqueue(
        repl("data = [1, 2, 3]\ndef double(x): return 2 * x\nanswer['content'] = 'parent'"),
        repl("r = rlm_query_batched(['sum', 'len'])\nFINAL((r, data, context, answer['content']))"),
    )
    code = "data.append(double(2))\nfound = (eval(context)(data), parent_context, history, answer['content'])"
    turns = {"sum": [repl(code), repl("FINAL(found)")], "len": [repl(code), repl("FINAL(found)")]}
    model.child_rule = lambda turn: turns[turn.question].pop(0)
    text = await answer(service, context="text", options={"fork_children": True})
    assert text == """(["(10, 'text', [], '')", "(4, 'text', [], '')"], [1, 2, 3], 'text', 'parent')"""
    assert "copy of that of the run" in model.root_calls[2].prompt
    await until_ended(service, sandbox)


async def test_copies_of_copies_and_equal_prompts_are_children_of_their_own(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    model.enqueue(repl("trail = ['root']\nFINAL(rlm_query_batched(['a', 'a']))"))
    model.child_rule = lambda _: repl("trail.append(context)\nFINAL(trail if context == 'b' else rlm_query('b'))")
    async with served(settings, tmp_path, max_depth=2) as service:
        text = await answer(service, options={"fork_children": True})
    assert text == """["['root', 'a', 'b']", "['root', 'a', 'b']"]"""
    assert len(model.root_calls) == 5


async def test_copy_whose_code_does_not_end_is_an_error_in_its_slot(service: Service, model: ScriptedModel) -> None:
    code = """
try:
    r = rlm_query('p')
except BaseException:
    r = llm_query('from the copy')
FINAL(r)
"""
    model.enqueue(repl(code))
    assert await answer(service, options={"fork_children": True}) == (
        "Error: the child run gave no answer (sandbox_unavailable)"
    )
    assert model.sub_calls == []
