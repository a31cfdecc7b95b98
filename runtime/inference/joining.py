"""Which run a plain (not streamed) request gets: a new one, or the one that it repeats.

Used by both endpoints. A repeat says so, by the same Idempotency-Key or as the SDK's retry; two equal requests that
do not are two runs. Runs are shared only under the same API key and the same body.
"""

from __future__ import annotations

from aiohttp import web

from runtime.inference.admission import IS_RETRY
from runtime.inference.budget import Limits
from runtime.inference.envelope import KEY_NAME, caller_of
from runtime.inference.hosting import Hosting, RequestIdentity
from runtime.inference.question import Question
from runtime.inference.run_handle import NOTHING, Origin, RunHandle

IDEMPOTENCY_HEADER = "Idempotency-Key"


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
    by_body = RequestIdentity(request[KEY_NAME], f"{request.path} {digest}")
    given = request.headers.get(IDEMPOTENCY_HEADER)
    by_key = RequestIdentity(request[KEY_NAME], f"{request.path} {digest} {given}") if given else None
    joinable = [by_key, by_body if request[IS_RETRY] else None]
    handle = next((run for identity in joinable if identity and (run := hosting.join(identity))), None)
    if handle is None:
        handle = hosting.start(question, limits, caller_of(request), origin)
        for identity in filter(None, [by_key, by_body]):
            hosting.offer(identity, handle)
    return handle
