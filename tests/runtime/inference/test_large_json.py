"""A JSON document of forty megabytes as context: it stays text, and the model is told what parsing it would take."""

from __future__ import annotations

import re

import pytest

from runtime.inference.events import CellCompleted, RunCompleted
from runtime.inference.question import JsonContext, TextContext, build_context, estimate_parsed, has_more_values_than
from tests.runtime.inference.asking import repl, run
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.service import Service
from tests.runtime.inference.suites.records import build_records

PART_BY_PART = """
import json
decoder, index, unpaid = json.JSONDecoder(), context.index("[") + 1, 0
for _ in range(30_000):
    record, index = decoder.raw_decode(context, index)
    unpaid += not record["paid"]
    index = context.find("{", index)
FINAL((type(context).__name__, unpaid))
"""


async def test_forty_megabytes_of_json_are_text_that_can_be_parsed_part_by_part(
    service: Service, model: ScriptedModel
) -> None:
    """Parsing it whole fails in its cell alone: the session goes on."""
    model.enqueue(repl("import json\nwhole = [json.loads(context) for _ in range(2)]"), repl(PART_BY_PART))
    events = await run(service, context=build_records(40))
    done = events[-1]
    assert isinstance(done, RunCompleted), done
    assert done.answer == "('str', 20000)"
    whole = next(event for event in events if isinstance(event, CellCompleted))
    assert whole.error is not None
    assert whole.error.type == "MemoryError"
    told = re.search(
        r"looks like JSON, kept as text: json.loads\(context\) would need about (\d+) MB", model.root_calls[0].prompt
    )
    assert told is not None
    assert 100 < int(told[1]) < 400
    assert "`context` is a str" in model.root_calls[0].prompt


async def test_two_long_texts_stay_a_list(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("FINAL([len(text) for text in context])"))
    done = (await run(service, context=["one, two, " * 1_000_000, "[{:," * 2_000_000]))[-1]
    assert isinstance(done, RunCompleted), done
    assert done.answer == "[10000000, 8000000]"


@pytest.mark.parametrize(("value", "values"), [(5, 1), ("a, [b", 1), ([], 1), ([1, [2, {}]], 5), ({"a": {"b": []}}, 3)])
def test_values_are_counted(value: object, values: int) -> None:
    assert has_more_values_than(values - 1, value)
    assert not has_more_values_than(values, value)


def test_json_of_many_values_is_kept_as_its_text() -> None:
    assert build_context(list(range(499_999))) == JsonContext(
        encoded=b"[" + b",".join(b"%d" % number for number in range(499_999)) + b"]",
        shape="list of 499,999 items (int)",
    )
    assert isinstance(build_context(list(range(500_000))), TextContext)


@pytest.mark.parametrize("text", ["[1, 2]", "word " * 1_000_000, "x[" * 3_000_000])
def test_small_json_and_other_text_need_no_warning(text: str) -> None:
    assert estimate_parsed(text) is None
