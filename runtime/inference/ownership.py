"""Whose runs a request may see: those of its key, or all, for the keys that the settings name as admins."""

from __future__ import annotations

from aiohttp import web

from runtime.inference.envelope import KEY_NAME


def visible_owner(request: web.Request, admins: frozenset[str]) -> str | None:
    """The name of the key; None: all keys'."""
    name = request[KEY_NAME]
    return None if name in admins else name
