"""How many values a JSON text holds, found before it is parsed.

Parsed, a text such as `[[],[],…` takes thirty times its own size, so a limit of bytes alone bounds no memory. Called
where the sandbox reads what guests and clients say, and by the inference plane for request bodies.
"""

from __future__ import annotations

import re
from typing import Final

# A string, or its beginning where it has no end. Possessive, so that a hostile text costs no more than an honest one.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)', re.DOTALL)
_QUOTE: Final = b'"'
_ESCAPE: Final = b"\\"
_WINDOW: Final = 1024 * 1024
"""Bytes looked at in one go, a few milliseconds: in between, other threads have their turn."""


def has_more_values_than(limit: int, text: bytes | bytearray) -> bool:
    """Each value but the first follows one of `[`, `{` and `,`, and in an object a name as well. What strings hold does
    not count, and is looked at only where it matters."""
    if _count(text) <= limit:
        return False
    values = strings = 0
    carried = b""  # the beginning of a string that has no end yet
    for start in range(0, len(text), _WINDOW):
        kept, found = _STRING.subn(rb"\1", carried + text[start : start + _WINDOW])
        strings += found
        values += _count(kept)
        if values > limit or strings > 2 * limit:
            return True
        carried = b""
        if found > kept.count(_QUOTE):
            carried = _QUOTE + _ESCAPE if kept.endswith(_ESCAPE) else _QUOTE
            strings -= 1
    return False


def _count(text: bytes | bytearray) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
