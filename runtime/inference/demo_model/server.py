"""The stand-in's HTTP surface: as much of OpenAI's API as the inference plane uses.

`POST /v1/chat/completions` (streaming and not) and `GET /v1/models`. Usage is an estimate, characters / 4, since there
is no tokeniser behind it. Latency and errors can be injected, so that callers can be tried against a slow or failing
model. No key is asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from runtime.inference.demo_model.pieces import answer_prompt
from runtime.inference.demo_model.root import Message, is_root, next_turn

MODEL: Final = "scripted-demo"
_MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_CHARACTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True)
class Behaviour:
    """What is injected: `latency` seconds before each reply; each `fail_every`-th request (0: none) fails."""

    latency: float = 0.0
    fail_every: int = 0
    fail_status: int = 503


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _ChatRequest(BaseModel):
    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    stream_options: _StreamOptions = _StreamOptions()


def create_app(behaviour: Behaviour) -> web.Application:
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_envelope])
    requests = itertools.count(1)

    async def complete(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(behaviour.latency)
        if behaviour.fail_every and next(requests) % behaviour.fail_every == 0:
            return _error(behaviour.fail_status, "injected_error", "an error injected by --fail-every")
        try:
            chat = _ChatRequest.model_validate_json(await request.read())
        except ValidationError as error:
            return _error(400, "invalid_request_error", str(error))
        if not _serves(chat.model):
            return _error(404, "model_not_found", f"the model {chat.model!r} does not exist; this is {MODEL}")
        # Parsing a large piece must not hold up the other requests.
        text = await asyncio.to_thread(_reply, chat.messages)
        reply = _Reply(chat.model, text, _count_tokens(m.content for m in chat.messages), _count_tokens([text]))
        if chat.stream:
            return await _stream(request, reply, chat.stream_options.include_usage)
        return web.json_response(reply.completion())

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [_model(MODEL)]})

    async def model(request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if not _serves(name):
            return _error(404, "model_not_found", f"the model {name!r} does not exist; this is {MODEL}")
        return web.json_response(_model(name))

    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/v1/models/{model}", model)
    return app


def _serves(name: str) -> bool:
    """A suffix is allowed (`scripted-demo-sub`), so that a root and a sub-model can be told apart."""
    return name == MODEL or name.startswith(f"{MODEL}-")


def _reply(messages: Sequence[Message]) -> str:
    return next_turn(messages) if is_root(messages) else answer_prompt(messages[-1].content)


@dataclass(frozen=True)
class _Reply:
    model: str
    text: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    def completion(self) -> dict[str, object]:
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage}

    def chunks(self, include_usage: bool) -> list[dict[str, object]]:
        """Role, the text line by line, the finish; then the usage when asked."""
        head = self._head("chat.completion.chunk")

        def chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
            return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        lines = [chunk({"content": line}) for line in self.text.splitlines(keepends=True)]
        usage = [{**head, "choices": [], "usage": self.usage}] if include_usage else []
        return [chunk({"role": "assistant", "content": ""}), *lines, chunk({}, "stop"), *usage]

    def _head(self, kind: str) -> dict[str, object]:
        identity = f"chatcmpl-{secrets.token_hex(12)}"
        return {"id": identity, "object": kind, "created": int(time.time()), "model": self.model}


async def _stream(request: web.Request, reply: _Reply, include_usage: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
    await response.prepare(request)
    for chunk in reply.chunks(include_usage):
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "rlm-operator (scripted, no intelligence)"}


def _count_tokens(texts: Iterable[str]) -> int:
    return sum(len(text) for text in texts) // _CHARACTERS_PER_TOKEN + 1


def _error(status: int, code: str, message: str) -> web.Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return web.json_response(body, status=status)


@web.middleware
async def _envelope(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors of the HTTP layer (unknown path, body too large) in OpenAI's envelope too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error(error.status, (error.reason or "error").lower().replace(" ", "_"), error.reason or "error")
