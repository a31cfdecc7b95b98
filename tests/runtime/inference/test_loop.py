"""Whole runs: a scripted model over HTTP, a real sandbox, asked through /rlm/v1/runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.inference.events import (
    CellCompleted,
    CellStarted,
    IterationStarted,
    ModelCompleted,
    RunCompleted,
    RunStarted,
    SubcallCompleted,
    SubcallsStarted,
)
from runtime.wire import Status
from tests.runtime.inference.asking import answer, failure, repl, run
from tests.runtime.inference.scripted_model import COMPLETION_TOKENS, PROMPT_TOKENS, Failure, Raw, Reply, ScriptedModel
from tests.runtime.inference.service import API_KEY, Service


async def test_run_with_sub_calls_tells_its_whole_trajectory(service: Service, model: ScriptedModel) -> None:
    model.enqueue(
        repl("lines = context.splitlines()\nprint(len(lines))"),
        repl("notes = llm_query_batched([f'read {line}' for line in lines])\nanswer['content'] = ' | '.join(notes)"),
        repl("answer['ready'] = True"),
    )
    events = await run(service, context="one\ntwo")
    kinds = [type(event) for event in events]
    turn = [IterationStarted, ModelCompleted, CellStarted]
    assert kinds == [
        RunStarted,
        *turn,
        CellCompleted,
        *turn,
        SubcallsStarted,
        SubcallCompleted,
        SubcallCompleted,
        CellCompleted,
        *turn,
        CellCompleted,
        RunCompleted,
    ]
    started, done = events[0], events[-1]
    assert isinstance(started, RunStarted)
    assert (started.context.type, started.context.characters) == ("text", 7)
    assert isinstance(done, RunCompleted)
    assert done.answer == "re: read one | re: read two"
    assert (done.iterations, done.sub_calls) == (3, 2)
    assert done.usage.prompt_tokens == 5 * PROMPT_TOKENS
    assert done.usage.total_tokens == 5 * (PROMPT_TOKENS + COMPLETION_TOKENS)
    assert {call.model for call in model.sub_calls} == {"sub-model"}
    assert {call.model for call in model.root_calls} == {"root-model"}


async def test_root_model_sees_output_but_never_the_context(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("print('length', len(context))"), "FINAL(done)")
    await run(service, context="TOPSECRET" * 1000, query="What is it?")
    first, second = model.root_calls
    assert "str: 9,000 characters" in first.prompt
    assert "<question>\nWhat is it?\n</question>" in first.prompt
    assert "length 9000" in second.prompt
    assert not any("TOPSECRET" in message["content"] for message in second.messages)
    assert second.messages[: len(first.messages)] == first.messages  # append-only


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("FINAL(42)", "42"),
        (repl("x = 6 * 7\nFINAL(x)"), "42"),
        (repl("x = 6 * 7\nFINAL_VAR('x')"), "42"),
        (repl("x = 6 * 7") + "\nFINAL_VAR(x)", "42"),
        (repl("answer = {'content': 6 * 7, 'ready': True}"), "42"),
        (repl("SUBMIT(6 * 7)"), "42"),
        (repl("FINAL('code')") + "\nFINAL(text)", "code"),
        (repl("x = 1") + "\nFINAL(text)", "text"),
        ("```repl\nx = 40\n```\nand\n```repl\nFINAL(x + 2)\n```", "42"),
        ("<think>FINAL(1)</think>\nFINAL(42)", "42"),
        (repl('text = """\n```\n"""\nFINAL(len(text) + 37)'), "42"),
    ],
)
async def test_each_dialect_finishes_the_run(service: Service, model: ScriptedModel, reply: str, expected: str) -> None:
    model.enqueue(reply)
    assert await answer(service) == expected


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("FINAL()", "FINAL() was empty"),
        ("I think it is 42.", "neither a code block nor a final answer"),
        ("**FINAL(7)**", "neither a code block nor a final answer"),
        (repl("total = 3") + "\nFINAL_VAR(totl)", "total: int"),
        (repl("1/0"), "ZeroDivisionError"),
        (repl("answer['ready'] = True"), "content"),
        ("```repl\n1/0\n```\n```repl\nFINAL(7)\n```", "1 code blocks after it were not run"),
        (repl("context = 'mine'"), "`context` is reserved"),
        (repl("40 + 2"), "value of the last expression:\n42"),
        (repl("import sys\nprint('x' * 30000)\nprint('the reason', file=sys.stderr)"), "the reason"),
        (repl("print('x' * 30000)"), "of 30,001 characters left out"),
    ],
)
async def test_reply_that_does_not_finish_is_answered_with_what_happened(
    service: Service, model: ScriptedModel, reply: str, told: str
) -> None:
    model.enqueue(reply, "FINAL(done)")
    assert await answer(service, context="abc") == "done"
    assert told in model.root_calls[1].prompt


async def test_variables_functions_and_the_restored_context_last_over_turns(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue(
        repl("def double(x):\n    return helper(x) * 2\ncontext = 'overwritten'\nkept = 20\n1/0"),
        repl("def helper(x):\n    return x\nFINAL(f'{double(kept)} {context}')"),
    )
    assert await answer(service, context="original") == "40 original"


async def test_documents_and_json_arrive_as_values(service: Service, model: ScriptedModel) -> None:
    documents = [{"path": "a/b.txt", "text": "ä" * 10}, {"path": "c", "text": ""}]
    model.enqueue(repl("FINAL([(d['path'], len(d['text'])) for d in context])"))
    assert await answer(service, documents=documents) == "[('a/b.txt', 10), ('c', 0)]"
    model.enqueue(repl("FINAL((type(context).__name__, context['k'], history))"))
    assert await answer(service, context={"k": [1, None, "ü"]}) == "('dict', [1, None, 'ü'], [])"


async def test_context_of_forty_megabytes_arrives_whole(service: Service, model: ScriptedModel) -> None:
    text = "0123456789abcde\n" * (40 * 1024 * 1024 // 16)
    model.enqueue(repl("FINAL((len(context), context.count('\\n'), context[-16:]))"))
    assert await answer(service, context=text) == f"({len(text)}, {len(text) // 16}, '0123456789abcde\\n')"


# aiohttp's hint for callers who could read a body from a file; a prompt is in memory, and its bytes are one send.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_forty_megabytes_are_read_by_the_sub_model_in_one_batch(service: Service, model: ScriptedModel) -> None:
    model.sub_rule = lambda prompt: str(prompt.count("needle"))
    code = """
size = 1_000_000
counts = llm_query_batched([f'{i} ' + context[i:i + size] for i in range(0, len(context), size)])
FINAL((len(counts), sum(map(int, counts))))
"""
    model.enqueue(repl(code))
    assert await answer(service, context="hay needle hay \u00e4" * 2_500_000) == "(40, 2500000)"


async def test_answers_too_long_to_hand_over_are_error_strings_in_their_slots(
    service: Service, model: ScriptedModel
) -> None:
    model.sub_rule = lambda prompt: prompt * 2_000_000
    model.enqueue(repl("FINAL([a[:2] + str(len(a)) for a in llm_query_batched(['', 'a', 'b', 'c'])])"))
    text = await answer(service)
    assert text.startswith("['0', 'aa2000000', 'bb2000000', 'Er")


async def test_folder_above_the_pools_variable_limit_arrives_in_pieces(service: Service, model: ScriptedModel) -> None:
    documents = [{"path": f"f{index}", "text": "line\n" * 400_000} for index in range(36)]  # 72 MB
    model.enqueue(repl("FINAL((len(context), sum(len(d['text']) for d in context), context[-1]['path']))"))
    assert await answer(service, documents=documents) == "(36, 72000000, 'f35')"


async def test_context_that_no_session_can_hold_is_said_to_be_too_large(service: Service, model: ScriptedModel) -> None:
    failed = await failure(service, context="x" * (240 * 1024 * 1024))
    assert failed.error.code == "context_too_large"
    assert "251,658,240 characters" in failed.error.message
    assert model.requests == []


async def test_answer_above_every_output_cap_comes_out_whole(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("text = 'word ' * 2_000_000\nFINAL_VAR('text')"))
    assert await answer(service) == "word " * 2_000_000


async def test_batch_keeps_order_and_only_the_failed_slot_is_an_error(service: Service, model: ScriptedModel) -> None:
    model.sub_rule = lambda prompt: Failure(400, "bad") if prompt == "p3" else f"<{prompt}>"
    model.enqueue(repl("r = llm_query_batched([f'p{i}' for i in range(8)])\nFINAL(r)"))
    events = await run(service)
    done = events[-1]
    assert isinstance(done, RunCompleted)
    expected = [f"<p{index}>" for index in range(8)]
    expected[3] = "Error: the model's endpoint refused the request (HTTP 400)"
    assert done.answer == str(expected)
    failed = [event for event in events if isinstance(event, SubcallCompleted) and event.error]
    assert [event.index for event in failed] == [3]
    assert "sk-secret" not in str(events)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Failure(401), "the model's endpoint refused the key (HTTP 401)"),
        (Failure(404), "the model does not exist at its endpoint (HTTP 404)"),
        (Failure(400, "context_length_exceeded"), "the prompt is too long for the model (HTTP 400)"),
        (Raw("no json", "text/plain"), "the model's answer could not be read"),
        (Raw("no json"), "the model's answer could not be read"),
        (Raw('{"choices": []}'), "the model's answer could not be read"),
        (Raw('{"choices": [{"message": {"content": ["a"]}}]}'), "the model's answer could not be read"),
    ],
)
async def test_failed_sub_call_is_a_string_from_a_closed_list(
    service: Service, model: ScriptedModel, reply: Failure | Raw, error: str
) -> None:
    model.sub_rule = lambda _: reply
    model.enqueue(repl("FINAL(llm_query('p'))"))
    assert await answer(service) == f"Error: {error}"


async def test_sub_call_is_retried_when_the_endpoint_is_busy(service: Service, model: ScriptedModel) -> None:
    replies: Iterator[Reply] = iter(
        [Failure(429, headers={"retry-after-ms": "10"}), Failure(500, headers={"retry-after-ms": "10"}), "ok"]
    )
    model.sub_rule = lambda _: next(replies)
    model.enqueue(repl("FINAL(llm_query('p'))"))
    assert await answer(service) == "ok"
    assert len(model.sub_calls) == 3


async def test_redirect_is_not_followed(service: Service, model: ScriptedModel) -> None:
    model.sub_rule = lambda _: Failure(307, headers={"Location": f"{model.base_url}/chat/completions"})
    model.enqueue(repl("FINAL(llm_query('p'))"))
    assert (await answer(service)).startswith("Error: ")
    assert len(model.sub_calls) == 1


async def test_code_may_name_an_allowed_model_only(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("FINAL([llm_query('p', model=m) for m in ('third-model', 'root-model', 'evil')])"))
    text = await answer(service)
    assert text.startswith("['re: p', 're: p', \"Error: model 'evil' is not one of: root-model, sub-model, third-model")
    assert [call.model for call in model.sub_calls] == ["third-model", "root-model"]


@pytest.mark.parametrize(
    "payload",
    ["'no json'", "'{}'", "'{\"prompts\": []}'", "'{\"prompts\": [5]}'", '\'{"prompts": ["p"], "n": 1}\'', "'[]'"],
)
@pytest.mark.parametrize("name", ["llm_query", "rlm_query"])
async def test_forged_payload_is_an_exception_in_the_code_and_costs_nothing(
    service: Service, model: ScriptedModel, name: str, payload: str
) -> None:
    code = f"import sandbox\ntry:\n    sandbox.call('{name}', {payload})\nexcept RuntimeError as e:\n    FINAL(str(e))"
    model.enqueue(repl(code))
    assert f"the payload of {name}" in await answer(service)
    assert len(model.requests) == 1


async def test_forged_final_event_is_no_answer(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("import sandbox\nsandbox.emit('rlm.final', '')"), "FINAL(real)")
    assert await answer(service) == "real"


async def test_sub_calls_above_the_budget_are_not_made_and_end_the_run(service: Service, model: ScriptedModel) -> None:
    model.enqueue(
        repl("answer['content'] = 'half'\nllm_query_batched(['p1', 'p2', 'p3'])\nllm_query_batched(['q'] * 4)")
    )
    failed = await failure(service, options={"max_subcalls": 5})
    assert failed.error.code == "max_subcalls"
    assert failed.partial_answer == "half"
    assert len(model.sub_calls) == 3
    assert await service.metric("rlm_budget_stops_total", reason="max_subcalls") == 1


async def test_wall_time_ends_the_run_in_the_middle_of_a_cell(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("while True: pass"))
    failed = await failure(service, options={"timeout": 1.5})
    assert failed.error.code == "timeout"


async def test_errors_in_a_row_end_the_run(service: Service, model: ScriptedModel) -> None:
    model.enqueue(*["no code"] * 5)
    assert (await failure(service)).error.code == "max_consecutive_errors"
    assert len(model.root_calls) == 5


async def test_out_of_iterations_asks_once_more_for_the_best_answer(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("found = 'about 12'"), repl("pass"), repl("print('not run')") + "\nFINAL_VAR(found)")
    events = await run(service, options={"max_iterations": 2})
    done = events[-1]
    assert isinstance(done, RunCompleted)
    assert (done.answer, done.stop_reason, done.iterations) == ("about 12", "max_iterations", 2)
    assert "no turns left" in model.root_calls[2].prompt
    cells = [event.code for event in events if isinstance(event, CellStarted)]
    assert not any("not run" in code for code in cells)


async def test_plain_text_of_the_last_call_is_the_answer(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("pass"), "Probably 12.")
    assert await answer(service, options={"max_iterations": 1}) == "Probably 12."


@pytest.mark.parametrize("reply", [Failure(401), Failure(404), Raw("no json", "text/plain")])
async def test_root_model_that_fails_ends_the_run_without_its_words(
    service: Service, model: ScriptedModel, reply: Failure | Raw
) -> None:
    model.enqueue(reply)
    failed = await failure(service)
    assert failed.error.code == "model_error"
    assert "sk-secret" not in failed.error.message


async def test_cell_that_runs_too_long_is_rolled_back_and_the_run_goes_on(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue(
        repl("kept = llm_query('p')"),
        repl("import os\nkept = 'lost'\nos._exit(1)"),
        repl("FINAL(f'{kept} {len(context)}')"),
    )
    events = await run(service, context="abc")
    done = events[-1]
    assert isinstance(done, RunCompleted), done
    assert done.answer == "re: p 3"
    statuses = [event.status for event in events if isinstance(event, CellCompleted)]
    assert statuses == [Status.OK, Status.CRASHED, Status.OK]
    assert "variables are as they were before it" in model.root_calls[2].prompt


async def test_metrics_count_runs_code_and_calls(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("1/0"), repl("FINAL(llm_query('p'))"))
    await run(service)
    assert await service.metric("rlm_inference_requests_total", status="ok") == 1
    assert await service.metric("rlm_inference_duration_seconds_count") == 1
    assert await service.metric("rlm_code_generated_total") == 2
    assert await service.metric("rlm_code_execution_requests_total", status="error") == 1
    assert await service.metric("rlm_code_execution_requests_total", status="ok") == 1
    assert await service.metric("rlm_llm_calls_total", model="root-model", role="root", status="ok") == 2
    assert await service.metric("rlm_llm_tokens_total", kind="prompt", model="sub-model", role="sub") == PROMPT_TOKENS
    assert await service.metric("rlm_active_runs") == 0


async def test_run_is_logged_with_who_asked_but_without_texts(
    service: Service, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    model.enqueue("FINAL(the answer)")
    await run(service, query="the question", context="the context")
    record = next(record for record in caplog.records if record.message == "run ended")
    fields = vars(record)
    assert (fields["key_name"], fields["status"], fields["iterations"]) == ("tester", "ok", 1)
    assert fields["request_id"]
    logged = " ".join(str(vars(each)) for each in caplog.records)
    assert not any(text in logged for text in ("the question", "the context", "the answer", API_KEY))
