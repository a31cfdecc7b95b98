"""POST /v1/chat/completions: OpenAI's endpoint over a run.

Streams give the answer as content deltas; with `rlm.progress` what the run does comes before it as reasoning deltas.
There is no `id:` field on the stream, since OpenAI's SDK then chokes on heartbeats.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel
from pydantic_core import to_json

from runtime.inference.bodies import receive
from runtime.inference.chat_request import ChatRequest
from runtime.inference.envelope import ErrorDetail, ErrorEnvelope, caller_of
from runtime.inference.errors import ModelNotFoundError
from runtime.inference.events import RunCompleted, RunFailed, StopReason
from runtime.inference.hosting import Hosting
from runtime.inference.joining import start_or_join
from runtime.inference.options import apply_options
from runtime.inference.peers.shelf import Shelf
from runtime.inference.progress import describe_progress
from runtime.inference.prompts import CHARACTERS_PER_TOKEN
from runtime.inference.replies import Pace, follow, open_stream, reply_when_done
from runtime.inference.run_handle import RunHandle
from runtime.inference.settings import InferenceSettings
from runtime.inference.usage import Usage

DELTA_CHARACTERS: Final = 1_000
_DONE: Final = b"data: [DONE]\n\n"

FinishReason = Literal["stop", "length"]


class RunSummary(BaseModel):
    """The `rlm` object of a reply: what a plain completion has no field for."""

    run_id: str
    stop_reason: StopReason
    iterations: int
    sub_calls: int
    duration_s: float
    recoveries: int
    diverged: bool


class ChatApi:
    def __init__(self, settings: InferenceSettings, hosting: Hosting, files: Shelf, pace: Pace) -> None:
        self._settings = settings
        self._hosting = hosting
        self._files = files
        self._pace = pace

    async def post_chat_completions(self, request: web.Request) -> web.StreamResponse:
        parsed = await receive(request, self._settings.max_body_bytes, ChatRequest, self._files)
        asked = parsed.asked
        if asked.model != self._settings.served_model:
            raise ModelNotFoundError(
                f"the model {asked.model[:200]!r} does not exist; this service has {self._settings.served_model!r}",
                "model",
            )
        limits = apply_options(self._settings.limits, asked.rlm, "rlm")
        if asked.stream:
            return await self._stream(request, asked, self._hosting.start(parsed.question, limits, caller_of(request)))
        handle = start_or_join(self._hosting, request, parsed.digest, parsed.question, limits)
        renderer = _Renderer(asked, handle.id)
        return await reply_when_done(request, handle, renderer.completion, self._pace)

    async def _stream(self, request: web.Request, asked: ChatRequest, handle: RunHandle) -> web.StreamResponse:
        with handle.attend(linger=0):
            return await self._write(request, asked, handle)

    async def _write(self, request: web.Request, asked: ChatRequest, handle: RunHandle) -> web.StreamResponse:
        renderer = _Renderer(asked, handle.id)
        async with open_stream(request) as response:
            await response.write(renderer.delta({"role": "assistant", "content": ""}))
            async for event in follow(handle.log, response, self._pace):
                match event:
                    case RunCompleted() | RunFailed():
                        for chunk in renderer.end(event):
                            await response.write(chunk)
                    case _ if asked.rlm.progress and (line := describe_progress(event)):
                        await response.write(renderer.delta({"reasoning_content": line + "\n"}))
        return response


class _Renderer:
    """One reply's JSON, plain or in chunks; all chunks share id and time."""

    def __init__(self, asked: ChatRequest, run_id: str) -> None:
        self._asked = asked
        self._run_id = run_id
        self._created = int(time.time())

    def completion(self, done: RunCompleted) -> bytes:
        text, finish = self._bounded(done)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": finish,
        }
        body = self._head("chat.completion") | {"choices": [choice], "usage": done.usage, "rlm": self._summary(done)}
        return to_json(body)

    def delta(self, delta: dict[str, str], finish: FinishReason | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._chunk([choice], None)

    def end(self, last: RunCompleted | RunFailed) -> Iterator[bytes]:
        """Everything after the last progress: the answer, or the error as a data event; then [DONE]."""
        match last:
            case RunCompleted():
                text, finish = self._bounded(last)
                for start in range(0, len(text), DELTA_CHARACTERS):
                    yield self.delta({"content": text[start : start + DELTA_CHARACTERS]})
                yield self.delta({}, finish)
                if self._asked.include_usage:
                    yield self._chunk([], last.usage)
            case RunFailed():
                yield _frame(_error_of(last).to_json().encode())
        yield _DONE

    def _bounded(self, done: RunCompleted) -> tuple[str, FinishReason]:
        """`max_tokens` bounds the answer, counted as four characters a token."""
        tokens = self._asked.answer_tokens
        limit = len(done.answer) if tokens is None else tokens * CHARACTERS_PER_TOKEN
        cut = len(done.answer) > limit
        is_best_effort = done.stop_reason is StopReason.MAX_ITERATIONS
        return done.answer[:limit], "length" if cut or is_best_effort else "stop"

    def _chunk(self, choices: list[dict[str, Any]], usage: Usage | None) -> bytes:
        body = self._head("chat.completion.chunk") | {"choices": choices}
        if self._asked.include_usage:
            body["usage"] = usage
        return _frame(to_json(body))

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._run_id}",
            "object": kind,
            "created": self._created,
            "model": self._asked.model,
        }

    def _summary(self, done: RunCompleted) -> RunSummary:
        return RunSummary.model_validate(done.model_dump(include=set(RunSummary.model_fields)))


def _error_of(failed: RunFailed) -> ErrorEnvelope:
    return ErrorEnvelope(
        error=ErrorDetail(
            message=failed.error.message,
            type="server_error",
            param=None,
            code=failed.error.code,
            partial_answer=failed.partial_answer,
        )
    )


def _frame(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
