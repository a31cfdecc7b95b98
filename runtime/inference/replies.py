"""How an answer that takes minutes is sent: as a stream with heartbeats, or as one JSON body after a wait.

Used by everything that answers with a run. A caller who leaves takes the handler along (aiohttp cancels it), and the
handle notices that nobody waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from runtime.inference.errors import InferenceError
from runtime.inference.event_log import EventLog
from runtime.inference.events import RunCompleted, TrajectoryEvent
from runtime.inference.intake import SILENCE
from runtime.inference.presence import DEFAULT_BEAT
from runtime.inference.run_handle import RunHandle

PING: Final = b": ping\n\n"
_STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


@dataclass(frozen=True)
class Pace:
    """Seconds; the tests of what happens late use smaller ones."""

    heartbeat: float = 10.0  # between signs of life
    quiet: float = 30.0  # until a plain reply begins with white space, so that no proxy gives up on it
    linger: float = 10.0  # that a run goes on for a plain request whose caller is gone
    silence: float = SILENCE  # within the body of a request
    drain: float = 20.0  # that runs get to finish when the service ends; below the 30 that Kubernetes grants by default
    beat: float = DEFAULT_BEAT  # between signs of life to the processes that share the storage


@asynccontextmanager
async def open_stream(request: web.Request) -> AsyncIterator[web.StreamResponse]:
    """A server-sent event stream; its first bytes go out at once. A caller who is gone ends it."""
    response = web.StreamResponse(headers=_STREAM_HEADERS)
    with suppress(ConnectionError):
        await response.prepare(request)
        yield response
        await response.write_eof()


async def follow(log: EventLog, response: web.StreamResponse, pace: Pace) -> AsyncIterator[TrajectoryEvent]:
    """A run's events up to its last, with a heartbeat on the stream whenever there is none for a while."""
    async for event in log.follow(patience=pace.heartbeat):
        if event is None:
            await response.write(PING)
        else:
            yield event


async def reply_when_done(
    request: web.Request, handle: RunHandle, render: Callable[[RunCompleted], bytes], pace: Pace
) -> web.StreamResponse:
    """One JSON body. Raises what the run raised while the status can still say it; later the connection is cut, so
    that an error never looks like an answer, and the client's retry gets the true status."""
    with handle.attend(linger=pace.linger):
        if await handle.finished(within=pace.quiet):
            return web.Response(body=render(handle.result()), content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b"\n")
            if await handle.finished(within=pace.heartbeat):
                break
        try:
            body = render(handle.result())
        except InferenceError:
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write(body)
        await response.write_eof()
        return response
