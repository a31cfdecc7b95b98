"""What a caller answers a host call with, on its way to the guest that waits for it.

It can be 16 MiB of text and may wait for a slot, so it is held once, as JSON, and given away when the guest is told:
from then on nothing of it is in the server, however long the cell runs on. Made by `app`, taken by `session`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from pydantic_core import to_json

from runtime.sandbox.errors import RequestError
from runtime.wire import ErrorCode, ResumeRequest


class HostAnswer:
    """A result or an error. `when_taken` is called when nothing of it is here any more."""

    def __init__(self, request: ResumeRequest, when_taken: Callable[[], None]) -> None:
        """RequestError: 400 unless the request has exactly one of the two."""
        if (request.result is None) == (request.error is None):
            raise RequestError(ErrorCode.MALFORMED, "give exactly one of result and error")
        self._when_taken = when_taken
        self.is_error = request.error is not None
        self._json = to_json(request.error if self.is_error else request.result)

    def text(self) -> str:
        """Empty once it was taken."""
        return str(json.loads(self._json)) if self._json else ""

    def take(self, *, reseed: bool) -> bytes:
        """The guest's part of the message. `reseed`: its random numbers are still those of another session."""
        kind, text, self._json = "error" if self.is_error else "result", self._json, b""
        self._when_taken()
        return b"".join((b'{"', kind.encode(), b'": ', text, b', "reseed": true}' if reseed else b"}"))
