"""What a service says to bytes that are no HTTP request it can read: heads that are broken or too long, bodies in an
encoding that it cannot unpack. aiohttp answers those itself, in plain text, before any middleware.

`web` makes the connections of a service from this, which shapes the refusal as it shapes its others.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import http_exceptions, web

_SHOWN: Final = 200  # characters
_TOO_MANY_HEADERS: Final = "Too many headers received"  # aiohttp has no class for it

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Malformed:
    """`status` is 400, 415 (encoding) or 431 (too long a line, too many headers); `problem` is one line."""

    status: int
    problem: str
    request_id: str


Refuse = Callable[[Malformed], web.Response]


class RefusingConnection(web.RequestHandler):
    __slots__ = ("_refuse",)

    def __init__(self, server: web.Server, refuse: Refuse, idle_seconds: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=idle_seconds,
            access_log=None,  # type: ignore[arg-type]  # as AppRunner hands it on: none is written
        )
        self._refuse = refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp calls it for what its parser refused, and for what no middleware caught."""
        if not isinstance(exc, http_exceptions.HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        malformed = Malformed(*_describe(exc), request_id=secrets.token_hex(16))
        log.info("malformed request", extra={"request_id": malformed.request_id, "status": malformed.status})
        response = self._refuse(malformed)
        response.force_close()
        response.headers["Connection"] = "close"  # said too, since the reply is HTTP/1.0's where no version was read
        return response


def _describe(error: http_exceptions.HttpProcessingError) -> tuple[int, str]:
    """Status and problem. The line that is too long is not repeated: it may hold a key."""
    problem = " ".join(error.message.split())[:_SHOWN]
    match error:
        case http_exceptions.LineTooLong():
            return 431, "a line of the request's head is too long; the longest that is read has 8,190 bytes"
        case http_exceptions.BadHttpMessage() if problem == _TOO_MANY_HEADERS:
            return 431, "the request has too many headers; 128 are read"
        case http_exceptions.ContentEncodingError():
            return 415, f"the body cannot be unpacked: {problem}"
        case _:
            return 400, f"this is no HTTP request that can be read: {problem}"
