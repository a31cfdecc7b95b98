"""A scripted OpenAI-compatible endpoint for tests: a queue of root replies, a function for sub-calls.

Real HTTP on a free port. It records every request, and can fail, wait or hang like an endpoint does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

PROMPT_TOKENS = 10
COMPLETION_TOKENS = 3
QUESTION = "How many?"  # what the tests ask


@dataclass(frozen=True)
class Failure:
    """An HTTP error instead of a reply."""

    status: int
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "sk-secret at http://internal"


@dataclass(frozen=True)
class Hang:
    """No reply until the caller hangs up."""


@dataclass(frozen=True)
class Gate:
    """A reply that waits until the test opens it."""

    opened: asyncio.Event
    text: str


@dataclass(frozen=True)
class Raw:
    """A body of 200 that may be anything."""

    text: str
    content_type: str = "application/json"


Reply = str | Failure | Hang | Gate | Raw
SubRule = Callable[[str], Reply]


@dataclass(frozen=True)
class Recorded:
    model: str
    messages: list[dict[str, str]]
    headers: dict[str, str]

    @property
    def is_root(self) -> bool:
        return self.messages[0]["role"] == "system"

    @property
    def prompt(self) -> str:
        return self.messages[-1]["content"]

    @property
    def question(self) -> str:
        """What the run whose turn this is was asked."""
        return self.messages[1]["content"].partition("<question>\n")[2].partition("\n</question>")[0]


TurnRule = Callable[[Recorded], Reply]


class ScriptedModel:
    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.sub_rule: SubRule = lambda prompt: f"re: {prompt}"
        self.child_rule: TurnRule | None = None  # turns of runs that were asked anything but QUESTION
        self.prompt_tokens = PROMPT_TOKENS
        self.requests: list[Recorded] = []
        self.hanging = 0  # calls that wait for their caller to hang up
        self.abandoned = 0  # calls whose caller did
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    def enqueue(self, *replies: Reply) -> Self:
        """Next replies of the root model, in order."""
        self.replies.extend(replies)
        return self

    @property
    def root_calls(self) -> list[Recorded]:
        return [request for request in self.requests if request.is_root]

    @property
    def sub_calls(self) -> list[Recorded]:
        return [request for request in self.requests if not request.is_root]

    async def until(self, condition: Callable[[ScriptedModel], bool], within: float = 60.0) -> None:
        """Wait for something to have happened here."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def start(self, port: int = 0) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        recorded = Recorded(body["model"], body["messages"], dict(request.headers))
        self.requests.append(recorded)
        await self._notify()
        reply = self._next_turn(recorded) if recorded.is_root else self.sub_rule(recorded.prompt)
        match reply:
            case Hang():
                return await self._hang()
            case Failure(status, code, headers, message):
                error = {"error": {"message": message, "type": "x", "code": code}}
                return web.json_response(error, status=status, headers=headers)
            case Gate(opened, text):
                await opened.wait()
                return web.json_response(build_completion(recorded.model, text, self.prompt_tokens))
            case Raw(text, content_type):
                return web.Response(text=text, content_type=content_type)
            case str(text):
                return web.json_response(build_completion(recorded.model, text, self.prompt_tokens))

    def _next_turn(self, recorded: Recorded) -> Reply:
        if self.child_rule is not None and recorded.question != QUESTION:
            return self.child_rule(recorded)
        return self.replies.popleft() if self.replies else Failure(500, "script_ended")

    async def _hang(self) -> web.StreamResponse:
        self.hanging += 1
        await self._notify()
        try:
            await asyncio.Event().wait()
        finally:
            self.hanging -= 1
            self.abandoned += 1
            await asyncio.shield(self._notify())
        raise AssertionError("the event is never set")

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def build_completion(model: str, text: str, prompt_tokens: int = PROMPT_TOKENS) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": COMPLETION_TOKENS,
            "total_tokens": prompt_tokens + COMPLETION_TOKENS,
        },
    }
