"""Structured answers: valid against the caller's schema, or repaired, or an error with what there was."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from runtime.inference.answer_format import build_answer_format
from runtime.inference.errors import InvalidRequestError
from runtime.inference.events import RunCompleted
from tests.runtime.inference.asking import answer, failure, repl, run
from tests.runtime.inference.scripted_model import QUESTION, ScriptedModel
from tests.runtime.inference.service import SERVED_MODEL, Service

SCHEMA = {
    "type": "object",
    "properties": {"count": {"type": "integer", "minimum": 0}, "names": {"type": "array", "items": {"type": "string"}}},
    "required": ["count"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "counted", "schema": SCHEMA, "strict": True}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"count": 1}', None),
        (' {"count": 1, "names": ["a"]}\n', None),
        ('```json\n{"count": 1}\n```', None),
        ("many", "it is not JSON"),
        ("{'count': 1}", "it is not JSON"),
        ('{"count": NaN}', "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ('{"names": []}', '"count" is a required property'),
        ('{"count": 1, "names": [5]}', "at answer['names'][0]"),
        ('{"count": "1"}', "at answer['count']"),
    ],
)
def test_answer_is_valid_or_it_is_said_where_it_is_not(text: str, problem: str | None) -> None:
    checked = build_answer_format(SCHEMA, "p").check(text)
    assert (checked.problem is None) if problem is None else (problem in (checked.problem or ""))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/missing"},
        {"pattern": "(?=look)ahead"},
        {"description": "x" * 70_000},
    ],
)
def test_schema_that_cannot_be_used_is_refused_by_name(schema: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        build_answer_format(schema, "the.field")
    assert refused.value.param == "the.field"


def test_pattern_that_would_backtrack_for_ever_does_not() -> None:
    assert build_answer_format({"pattern": "^(a+)+$"}, "p").check(json.dumps("a" * 100_000 + "!")).problem


@pytest.mark.parametrize(
    "reply",
    [
        'FINAL({"count": 3})',
        repl("FINAL({'count': 3})"),
        repl("result = {'count': 3}") + "\nFINAL_VAR(result)",
        repl("answer.update(content={'count': 3}, ready=True)"),
        repl("SUBMIT({'count': 3})"),
    ],
)
async def test_valid_answer_of_each_dialect_is_given_as_json(
    service: Service, model: ScriptedModel, reply: str
) -> None:
    model.enqueue(reply)
    assert json.loads(await answer(service, response_format=FORMAT)) == {"count": 3}
    assert '"minimum":0' in model.root_calls[0].prompt


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("FINAL(three)", "it is not JSON"),
        (repl("FINAL({'count': -1})"), "minimum"),
        (repl("answer.update(content='no', ready=True)"), "it is not JSON"),
    ],
)
async def test_invalid_answer_is_sent_back_with_what_is_wrong(
    service: Service, model: ScriptedModel, wrong: str, told: str
) -> None:
    model.enqueue(wrong, repl("print('still here')"), repl("FINAL({'count': 3})"))
    done = (await run(service, response_format=FORMAT))[-1]
    assert isinstance(done, RunCompleted), done
    assert (json.loads(done.answer), done.iterations, done.stop_reason) == ({"count": 3}, 3, "final")
    assert told in model.root_calls[1].prompt
    assert "still here" in model.root_calls[2].prompt


async def test_answer_that_stays_invalid_ends_the_run_with_it_as_partial_answer(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue(*[repl("FINAL('three')")] * 5)
    failed = await failure(service, response_format=FORMAT)
    assert (failed.error.code, failed.partial_answer) == ("max_consecutive_errors", "three")


async def test_best_answer_when_turns_ran_out_is_repaired(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("pass"), "About three.", 'FINAL({"count": 3})')
    done = (await run(service, response_format=FORMAT, options={"max_iterations": 1}))[-1]
    assert isinstance(done, RunCompleted)
    assert (json.loads(done.answer), done.stop_reason) == ({"count": 3}, "max_iterations")
    assert "it is not JSON" in model.root_calls[2].prompt


async def test_best_answer_that_cannot_be_repaired_is_an_error_and_never_an_answer(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue(repl("pass"), *["About three."] * 3)
    failed = await failure(service, response_format=FORMAT, options={"max_iterations": 1})
    assert (failed.error.code, failed.partial_answer) == ("max_iterations", "About three.")
    assert len(model.root_calls) == 4


async def test_repair_stays_within_the_tokens(service: Service, model: ScriptedModel) -> None:
    model.prompt_tokens = 10_000
    model.enqueue(repl("pass"), "About three.", "About three.")
    failed = await failure(service, response_format=FORMAT, options={"max_iterations": 1, "max_tokens": 20_010})
    assert failed.error.code == "max_tokens"
    assert len(model.root_calls) == 2


class Counted(BaseModel):
    count: int
    names: list[str]


async def test_sdk_parses_a_structured_answer_into_its_model(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("FINAL({'count': 3})"), repl("FINAL({'count': 3, 'names': ['a']})"))
    async with service.openai() as client:
        completion = await client.chat.completions.parse(
            model=SERVED_MODEL, messages=[{"role": "user", "content": QUESTION}], response_format=Counted
        )
    assert completion.choices[0].message.parsed == Counted(count=3, names=["a"])
    assert len(model.root_calls) == 2


async def test_sdk_gets_an_object_when_it_asks_for_one(service: Service, model: ScriptedModel) -> None:
    model.enqueue("FINAL([1])", 'FINAL({"any": "object"})')
    async with service.openai() as client:
        completion = await client.chat.completions.create(
            model=SERVED_MODEL,
            messages=[{"role": "user", "content": QUESTION}],
            response_format={"type": "json_object"},
        )
    assert json.loads(completion.choices[0].message.content or "") == {"any": "object"}


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:9/x"}])
async def test_sdk_is_told_that_a_schema_cannot_be_used(
    service: Service, model: ScriptedModel, schema: dict[str, Any]
) -> None:
    async with service.openai() as client:
        with pytest.raises(openai.BadRequestError, match="the schema cannot be used"):
            await client.chat.completions.create(
                model=SERVED_MODEL,
                messages=[{"role": "user", "content": QUESTION}],
                response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
            )
    assert model.requests == []
