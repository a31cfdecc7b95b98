from __future__ import annotations

import io

import pytest
from rich.console import Console

from rlmctl.terminal import count, first_lines, one_line, plain, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("over\rwritten", "over\\rwritten"),
        ("dos\r\nlines", "dos\nlines"),
        ("\x9b31m", "\\x9b31m"),
        ("a\x00b\x08c\x7f", "a\\x00b\\x08c\\x7f"),
        ("right\u202eleft", "right\\u202eleft"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("lone \ud83d surrogate", "lone \\ud83d surrogate"),
        ("naïve 漢字 🙂", "naïve 漢字 🙂"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_markup_in_foreign_text_is_printed_not_obeyed() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80)
    console.print(plain("[red]not red[/red] [link=https://example.org]x[/link] :smile:"))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "[red]not red[/red] [link=https://example.org]x[/link] :smile:\n"


def test_one_line_cuts_long_text_with_an_ellipsis() -> None:
    assert one_line("a\nb  c", 10) == "a b c"
    assert one_line("x" * 100, 10) == "x" * 9 + "…"
    assert one_line(" " * 100 + "x", 10) == "…"


def test_first_lines_says_how_many_it_left_out() -> None:
    assert first_lines("a\nb\nc\n", 3) == "a\nb\nc"
    assert first_lines("a\nb\nc\nd", 3) == "a\nb\n… 2 more lines"


def test_count_has_the_plural_where_it_belongs() -> None:
    assert [count(number, "file") for number in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]
