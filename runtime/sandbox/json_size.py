"""How many values a JSON text holds, found before it is parsed.

Parsed, a text such as `[[],[],…` takes thirty times its own size, so a limit of bytes alone bounds no memory. Called by
`envelope` for what guests say and by `app` for what clients send.
"""

from __future__ import annotations

import re
from typing import Final

# A string, or its beginning where it has no end. Possessive, so that a hostile text costs no more than an honest one.
STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def has_more_values_than(limit: int, text: bytes | bytearray) -> bool:
    """Each value but the first follows one of `[`, `{` and `,`, and in an object a name as well. What strings hold does
    not count, and is looked at only where it matters."""
    if _count(text) <= limit:
        return False
    without_strings, strings = STRING.subn(b"", text, count=2 * limit + 1)
    return strings > 2 * limit or _count(without_strings) > limit


def _count(text: bytes | bytearray) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
