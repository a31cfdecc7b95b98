"""What looks like a secret is taken out of a text, and nothing else is."""

from __future__ import annotations

import json
import logging

import pytest

from runtime.logs import LogFormat, build_formatter
from runtime.redaction import redact


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Incorrect API key provided: sk-proj-abc123DEF456.", "Incorrect API key provided: [redacted]."),
        ("Incorrect API key provided: sk-pr***********wxyz.", "Incorrect API key provided: [redacted]."),
        ("key=sk_live_0123456789", "key=[redacted]"),
        ("Authorization: Bearer eyJhbGciOi.J9eyJ.zdWI", "Authorization: Bearer [redacted]"),
        ("authorization: basic dXNlcjpwYXNzd29yZA==9", "authorization: basic [redacted]"),
        ("cannot reach https://user:pa55@host:8443/v1", "cannot reach https://[redacted]@host:8443/v1"),
        ("redis://:pa55word@cache", "redis://[redacted]@cache"),
        ("{'api_key': 'abcdefgh12345'}", "{'api_key': '[redacted]'}"),
        ('{"password":"correct-horse"}', '{"password":"[redacted]"}'),
        ("AKIAIOSFODNN7EXAMPLE and AIzaSyA-1234567890abcdefghij", "[redacted] and [redacted]"),
        ("two: sk-aaaaaaaa sk-bbbbbbbb", "two: [redacted] [redacted]"),
    ],
)
def test_a_secret_becomes_redacted(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "the model 'gpt-6' does not exist; this service has 'rlm'",
        "send `Authorization: Bearer KEY` with a key of this service",
        "the sandbox at http://wasm-repl-service:8000 could not be reached",
        "max_tokens: 12345678 total_tokens=87654321",
        "a task-force of risk-averse people with basic knowledge, and a mail to someone@example.org",
        "file-01a208598976a1f4fdef911be86ad01c 4bf92f3577b34da6a3ce929d0e0e4736",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_log_line_has_a_secret_in_its_message_arguments_or_traceback(log_format: LogFormat) -> None:
    try:
        raise ValueError("refused sk-in-the-traceback at http://me:pa55@host")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "at %s", ("http://me:pa55@host",), None)
        record.exc_info = (ValueError, error, error.__traceback__)
    record.__dict__.update(
        deep={"list": ["sk-0123456789"]}, url="http://me:pa55@host", password=12345678, message_of="token: 123456789"
    )
    line = build_formatter(log_format).format(record)
    assert "refused [redacted] at http://[redacted]@host" in line
    assert "pa55" not in line
    assert "sk-" not in line
    if log_format == "json":
        fields = json.loads(line)
        assert (fields["deep"], fields["password"]) == ({"list": ["[redacted]"]}, 12345678)
