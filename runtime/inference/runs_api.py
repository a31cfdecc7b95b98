"""POST /rlm/v1/runs: the native API, with the whole trajectory as server-sent events."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel

from runtime.inference.bodies import receive
from runtime.inference.envelope import caller_of
from runtime.inference.events import RunCompleted, StopReason, frame_event
from runtime.inference.hosting import Hosting
from runtime.inference.joining import start_or_join
from runtime.inference.options import apply_options
from runtime.inference.peers.shelf import Shelf
from runtime.inference.records_api import build_reply
from runtime.inference.replies import Pace, follow, open_stream, reply_when_done
from runtime.inference.run_handle import RunHandle
from runtime.inference.runs_request import RunRequest
from runtime.inference.settings import InferenceSettings
from runtime.inference.usage import Usage


class RunReply(BaseModel):
    """200 of a run that was not streamed."""

    run_id: str
    answer: str
    stop_reason: StopReason
    iterations: int
    sub_calls: int
    usage: Usage
    usage_by_model: dict[str, Usage]
    duration_s: float
    recoveries: int
    diverged: bool


class RunsApi:
    def __init__(self, settings: InferenceSettings, hosting: Hosting, files: Shelf, pace: Pace) -> None:
        self._settings = settings
        self._hosting = hosting
        self._files = files
        self._pace = pace

    async def post_runs(self, request: web.Request) -> web.StreamResponse:
        parsed = await receive(request, self._settings.max_body_bytes, RunRequest, self._files)
        limits = apply_options(self._settings.limits, parsed.asked.options, "options")
        asked = parsed.asked
        if asked.stream:
            handle = self._hosting.start(parsed.question, limits, caller_of(request))
        else:
            handle = start_or_join(self._hosting, request, parsed.digest, parsed.question, limits)
        if asked.background:
            await self._hosting.leave_alone(handle)
        if asked.stream:
            return await self._stream(request, handle)
        if asked.background:
            return build_reply(handle.record.detail(), status=202)
        return await reply_when_done(request, handle, _render, self._pace)

    async def _stream(self, request: web.Request, handle: RunHandle) -> web.StreamResponse:
        with handle.attend(linger=0):
            async with open_stream(request) as response:
                async for event in follow(handle.log, response, self._pace):
                    await response.write(frame_event(event))
            return response


def _render(done: RunCompleted) -> bytes:
    return RunReply.model_validate(done.model_dump(include=set(RunReply.model_fields))).model_dump_json().encode()
