"""Who asked. Made by the HTTP layer and by `runtime.client`, handed to the run and to what is written about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """Who asked, for the logs: the name of the key (never the key), the request, and the path's pattern."""

    key_name: str
    request_id: str
    endpoint: str = ""  # of a program that asks without HTTP
