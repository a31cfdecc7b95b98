"""Which run a plain (not streamed) request gets: a new one, or the one that it repeats.

Used by both endpoints. A repeat says so, by the same Idempotency-Key or as the SDK's retry; two equal requests that
do not are two runs. Runs are shared only under the same API key and the same body.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from runtime.inference.admission import IS_RETRY
from runtime.inference.budget import Limits
from runtime.inference.envelope import KEY_NAME, caller_of
from runtime.inference.hosting import Hosting, RequestIdentity
from runtime.inference.question import Question
from runtime.inference.run_handle import NOTHING, Origin, RunHandle

IDEMPOTENCY_HEADER = "Idempotency-Key"


@dataclass(frozen=True)
class Repeat:
    """What tells that a request repeats another: equal bodies have one digest; `idempotency_key` and `is_retry` are
    what it says of itself."""

    key_name: str
    path: str
    digest: str
    idempotency_key: str | None
    is_retry: bool

    @classmethod
    def of(cls, request: web.Request, digest: str) -> Repeat:
        given = request.headers.get(IDEMPOTENCY_HEADER) or None
        return cls(request[KEY_NAME], request.path, digest, given, request[IS_RETRY])

    @property
    def by_body(self) -> RequestIdentity:
        return RequestIdentity(self.key_name, f"{self.path} {self.digest}")

    @property
    def by_key(self) -> RequestIdentity | None:
        if self.idempotency_key is None:
            return None
        return RequestIdentity(self.key_name, f"{self.path} {self.digest} {self.idempotency_key}")

    @property
    def joins(self) -> list[RequestIdentity]:
        """Any of these is the same request; none: it does not say that it is a repeat."""
        return [identity for identity in (self.by_key, self.by_body if self.is_retry else None) if identity]


def start_or_join(
    hosting: Hosting,
    request: web.Request,
    digest: str,
    question: Question,
    limits: Limits,
    origin: Origin = NOTHING,
) -> RunHandle:
    """The handle to attend; `digest` tells equal bodies.

    Raises DrainingError when a new run would be needed and none are begun any more.
    """
    repeat = Repeat.of(request, digest)
    handle = next((run for identity in repeat.joins if (run := hosting.join(identity))), None)
    if handle is None:
        handle = hosting.start(question, limits, caller_of(request), origin)
        for identity in filter(None, [repeat.by_key, repeat.by_body]):
            hosting.offer(identity, handle)
    return handle
