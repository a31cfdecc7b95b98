"""Values are counted as a parser would find them, and what strings hold is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.json_size import has_more_values_than
from tests.runtime.sandbox.test_reports import JSON


def values(parsed: Any) -> int:
    """Nodes, names not counted."""
    inner = parsed.values() if isinstance(parsed, dict) else parsed if isinstance(parsed, list) else ()
    return 1 + sum(map(values, inner))


@given(st.lists(JSON))
def test_a_text_is_refused_beyond_twice_its_values_at_the_latest_and_never_within_them(parsed: list[Any]) -> None:
    text = json.dumps(parsed).encode()
    assert not has_more_values_than(2 * values(parsed), text)
    assert has_more_values_than(values(parsed) // 2 - 1, text)


@pytest.mark.parametrize(
    "text",
    [
        b'"' + b"," * 100 + b'"',
        b'"' + b'\\",' * 100 + b'"',
        b'["\\\\", "' + b"[{," * 100,  # a string without an end
        b'"' + b"\\\\" * 99 + b'\\",,,,,,,,,,"',
    ],
)
def test_what_strings_hold_does_not_count(text: bytes) -> None:
    assert not has_more_values_than(5, text)


@pytest.mark.parametrize("text", [b"[]," * 10, b"{" * 10, b"[" * 10, b'"a","b",' * 5, b'"' * 21 + b"," * 10])
def test_what_is_outside_strings_counts(text: bytes) -> None:
    assert has_more_values_than(5, text)


@pytest.mark.parametrize("part", [b'","', b"[],", b'\\"', b'""', b"\\", b'"\\', b"{}"])
def test_a_large_hostile_text_is_looked_at_once(part: bytes) -> None:
    """A search that began anew at each quote would not end within the time that a test has."""
    has_more_values_than(1000, b'"' + part * (20_000_000 // len(part)))


@pytest.mark.parametrize("shift", range(6))
def test_what_lies_across_the_windows_is_counted_as_anywhere_else(shift: int) -> None:
    """Strings, their escapes and values at every place beside the end of a window."""
    for string in (
        b'"' + b"," * 3_000_000 + b'"',
        b'"' + b'\\",' * 1_000_000 + b'"',
        b'"' + b"\\\\" * 1_500_000 + b'"',
    ):
        text = b" " * shift + b"[" + string + b",1" * 10 + b"," + string + b"]"
        assert not has_more_values_than(12, text)
        assert has_more_values_than(11, text)
    values = b" " * shift + b"[" + b'"",' * 1_000_000 + b"1]"
    assert not has_more_values_than(1_000_001, values)
    assert has_more_values_than(1_000_000, values)
