from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from rlmctl.local.log_lines import LogPrinter


def show(line: str, threshold: int = logging.INFO) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None, markup=False, highlight=False)
    LogPrinter(console, threshold).show("sandbox", line)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            '{"message": "listening", "level": "INFO", "logger": "x", "timestamp": "t", "port": 1, "host": null}',
            "sandbox   │ listening port=1\n",
        ),
        ('{"message": "low", "level": "WARNING"}', "sandbox   │ WARNING low\n"),
        ('{"message": "bad", "level": "ERROR", "exc_info": "Traceback"}', "sandbox   │ ERROR bad\nTraceback\n"),
        ("plain words", "sandbox   │ plain words\n"),
        ("[1, 2]", "sandbox   │ [1, 2]\n"),
        ("\x1b[2J", "sandbox   │ \\x1b[2J\n"),
        ("", ""),
        ('{"message": "detail", "level": "DEBUG"}', ""),
        ('{"event": "cell", "logger": "audit", "caller": "alice"}', ""),
    ],
)
def test_line_is_shown_for_a_person(line: str, shown: str) -> None:
    assert show(line) == shown


def test_lines_below_the_threshold_are_not_shown() -> None:
    assert show('{"message": "listening", "level": "INFO"}', logging.WARNING) == ""
    assert show('{"message": "low", "level": "WARNING"}', logging.WARNING) != ""
