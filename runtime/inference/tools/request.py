"""Turns the arguments of a tool call into its HTTP request: path, query, body. Pure; used by the tool client.

An argument that the URL names goes there, escaped; the others go into the query of GET and DELETE, and into a JSON body
of the other methods. Nothing in an argument can reach another host, another path or another field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from pydantic_core import to_json

from runtime.inference.tools.declaration import PLACEHOLDER, HttpTool

_IN_QUERY: Final = frozenset({"GET", "DELETE"})
_UNFIT_FOR_PATHS: Final = re.compile(r"[/\\\x00-\x1f\x7f]")

Arguments = Mapping[str, object]


class UnfitArgumentError(ValueError):
    """The message says which argument cannot be sent and why, and nothing of its value."""


@dataclass(frozen=True)
class ToolRequest:
    method: str
    url: str  # escaped
    body: bytes | None


def build_request(tool: HttpTool, arguments: Arguments) -> ToolRequest:
    """`arguments` are valid by the tool's schema. Raises UnfitArgumentError."""
    parts = urlsplit(tool.url)
    given = {name: value for name, value in arguments.items() if value is not None}
    path = _fill(parts.path, given, in_path=True)
    if any(unquote(segment) in {".", ".."} for segment in path.split("/")):
        raise UnfitArgumentError("the path may not hold . or ..")
    query = _fill(parts.query, given, in_path=False)
    rest = {name: value for name, value in given.items() if name not in tool.placeholders}
    if tool.method in _IN_QUERY:
        query = "&".join(filter(None, [query, _encode_query(rest)]))
    body = None if tool.method in _IN_QUERY else to_json(rest)
    return ToolRequest(tool.method, f"{parts.scheme}://{parts.netloc}{path or '/'}{'?' + query if query else ''}", body)


def _fill(template: str, arguments: Arguments, *, in_path: bool) -> str:
    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name not in arguments:
            raise UnfitArgumentError(f"{name!r} is missing")
        text = _to_text(arguments[name], name)
        if in_path and (not text or _UNFIT_FOR_PATHS.search(text)):
            raise UnfitArgumentError(f"{name!r} stands in a path: it may be neither empty nor hold slashes")
        return quote(text, safe="")

    return PLACEHOLDER.sub(value_of, template)


def _encode_query(arguments: Arguments) -> str:
    """A list gives its field several times."""
    pairs = [
        (name, _to_text(item, name))
        for name, value in arguments.items()
        for item in (value if isinstance(value, list) else [value])
    ]
    return urlencode(pairs, quote_via=quote)


def _to_text(value: object, name: str) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UnfitArgumentError(f"{name!r} has no UTF-8 form") from None
        return value
    return to_json(value).decode()
