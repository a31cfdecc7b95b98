"""Text from models, guest code and other processes, made harmless for a terminal.

Everything that is printed and was not written by this program goes through `printable`: a control character could move
the cursor, change the title or hide text, and rich would read `[…]` as markup. What it returns holds neither.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from rich.console import Console
from rich.text import Text

# C0 but tab and line feed, DEL, C1, line and paragraph separators, bidirectional and invisible format characters, and
# lone surrogates, which no terminal's encoding has.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text with every control character shown as its escape (`\\x1b`)."""
    return _UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def plain(text: str, style: str = "") -> Text:
    """For rich: no markup is read in it."""
    return Text(printable(text), style=style)


def one_line(text: str, width: int) -> str:
    """The beginning of a text on one line of at most `width` characters."""
    flat = " ".join(printable(text[: 4 * width]).split())
    return flat if len(flat) <= width and len(text) <= 4 * width else f"{flat[: width - 1]}…"


def first_lines(text: str, count: int) -> str:
    """At most `count` lines; says how many more there are."""
    lines = text.rstrip("\n").split("\n")
    if len(lines) <= count:
        return "\n".join(lines)
    return "\n".join([*lines[: count - 1], f"… {len(lines) - count + 1:,} more lines"])


def count(number: int, noun: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def stdout_console() -> Console:
    return Console(highlight=False, emoji=False, markup=False)


def stderr_console() -> Console:
    """Progress and messages: standard output is for results."""
    return Console(file=sys.stderr, highlight=False, emoji=False, markup=False)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
