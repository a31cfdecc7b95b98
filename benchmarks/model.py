"""The model of the inference benchmarks: an OpenAI-compatible endpoint that says what it was told to, with faults.

    python -m benchmarks.model             says on standard output where it listens

`PUT /script` sets what it says (`Script`), `GET /counts` gives what it said since. A request whose first message is a
system message is a run's own model, which says turn after turn; any other is a sub-call, answered by its own prompt.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel

PROMPT_TOKENS: Final = 10
COMPLETION_TOKENS: Final = 3
MAX_BODY_BYTES: Final = 64 << 20
ANSWERED: Final = "answered"


class Script(BaseModel):
    """`turns` by the number of turns before, the last for all further ones. Latencies in seconds. `faults`: of how many
    requests, as a share of 1, which is `429`, `500`, `hang` (no reply until the caller goes) or `half` (of a reply)."""

    turns: list[str] = ["FINAL(done)"]
    latency: float = 0.0
    sub_latency: float = 0.0
    faults: dict[str, float] = {}
    seed: int = 0


class ScriptedEndpoint:
    def __init__(self) -> None:
        self._follow(Script())

    def _follow(self, script: Script) -> None:
        self._script = script
        self._chance = random.Random(script.seed)  # noqa: S311  # a load that can be repeated
        self._counts: Counter[str] = Counter()
        self._open = 0

    def build_app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_put("/script", self._put_script)
        app.router.add_get("/counts", self._get_counts)
        return app

    async def _put_script(self, request: web.Request) -> web.Response:
        self._follow(Script.model_validate_json(await request.read()))
        return web.Response(status=204)

    async def _get_counts(self, _: web.Request) -> web.Response:
        return web.json_response({**self._counts, "open": self._open})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self._open += 1
        try:
            return await self._reply(request)
        finally:
            self._open -= 1

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        messages: list[dict[str, str]] = body["messages"]
        is_root = messages[0]["role"] == "system"
        fault = self._choose_fault()
        if fault is not None:
            self._counts[fault] += 1
            return await self._fail(request, fault)
        latency = self._script.latency if is_root else self._script.sub_latency
        if latency:
            await asyncio.sleep(latency)
        text = self._next_turn(messages) if is_root else f"re: {messages[-1]['content']}"
        self._counts[f"{ANSWERED} {'root' if is_root else 'sub'}"] += 1
        return web.json_response(build_completion(body["model"], text))

    def _next_turn(self, messages: list[dict[str, str]]) -> str:
        said = sum(message["role"] == "assistant" for message in messages)
        turns = self._script.turns
        return turns[min(said, len(turns) - 1)]

    def _choose_fault(self) -> str | None:
        drawn = self._chance.random()
        for fault, share in self._script.faults.items():
            drawn -= share
            if drawn < 0:
                return fault
        return None

    async def _fail(self, request: web.Request, fault: str) -> web.StreamResponse:
        match fault:
            case "hang":
                await asyncio.Event().wait()
            case "half":
                response = web.StreamResponse(headers={"Content-Type": "application/json"})
                await response.prepare(request)
                await response.write(b'{"id": "chatcmpl-scripted", "choices": [{"message": {"content": "FIN')
                assert request.transport is not None
                request.transport.abort()
                return response
        headers = {"Retry-After": "0"} if fault == "429" else {}
        return web.json_response({"error": {"message": "injected"}}, status=int(fault), headers=headers)


def build_completion(model: str, text: str) -> dict[str, Any]:
    usage = {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": COMPLETION_TOKENS,
        "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    }
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    head = {"id": "chatcmpl-scripted", "object": "chat.completion", "created": int(time.time()), "model": model}
    return {**head, "choices": [choice], "usage": usage}


async def serve() -> None:
    runner = web.AppRunner(ScriptedEndpoint().build_app(), handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
