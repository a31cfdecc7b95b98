"""Log lines: one event a line, whatever is logged."""

from __future__ import annotations

import json
import logging

from runtime.logs import REQUEST_ID, add_request_id, build_formatter


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("service", logging.WARNING, __file__, 1, message, None, None)
    made.__dict__.update(extra)
    return made


def test_a_json_line_has_time_level_logger_message_and_the_extras() -> None:
    line = json.loads(build_formatter("json").format(record("cell", seconds=1.5)))
    assert (line["message"], line["level"], line["logger"], line["seconds"]) == ("cell", "WARNING", "service", 1.5)
    assert "timestamp" in line


def test_what_is_logged_for_a_request_has_its_id_and_other_lines_have_none() -> None:
    within, outside = record("cell"), record("ready")
    token = REQUEST_ID.set("the-one")
    add_request_id(within)
    REQUEST_ID.reset(token)
    add_request_id(outside)
    assert json.loads(build_formatter("json").format(within))["request_id"] == "the-one"
    assert "request_id" not in json.loads(build_formatter("json").format(outside))


def test_a_logged_value_cannot_forge_a_json_line() -> None:
    hostile = 'x\n{"level": "INFO", "message": "forged"}\r\x1b[2J\u2028'
    text = build_formatter("json").format(record(hostile, session=hostile))
    assert len(text.splitlines()) == 1
    assert json.loads(text)["session"] == hostile


def test_text_lines_are_for_people() -> None:
    assert build_formatter("text").format(record("ready")).endswith("WARNING service: ready")


def test_an_exception_stays_on_its_json_line() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        made = record("failed")
        made.exc_info = (ValueError, error, error.__traceback__)
    text = build_formatter("json").format(made)
    assert len(text.splitlines()) == 1
    assert "ValueError" in json.loads(text)["exc_info"]
