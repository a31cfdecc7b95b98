"""A real HTTP server that tools call: answers by rules, records what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web


@dataclass(frozen=True)
class Asked:
    method: str
    target: str  # path and query as they came
    headers: dict[str, str]
    body: str


Rule = Callable[[Asked], web.StreamResponse]


class ToolServer:
    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.rule: Rule = lambda asked: web.json_response({"method": asked.method, "target": asked.target})
        self.hanging = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def declare(self, name: str = "look_up", path: str = "/", **fields: Any) -> dict[str, Any]:
        """A tool of this server, that takes any arguments unless told otherwise."""
        return {
            "name": name,
            "description": f"What {name} does.",
            "parameters": {"type": "object", "additionalProperties": True},
            "url": f"http://{self.host}{path}",
            "allowPrivateAddresses": True,
            **fields,
        }

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(request.method, request.raw_path, dict(request.headers), await request.text())
        self.asked.append(asked)
        if request.path == "/hang":
            self.hanging.set()
            await asyncio.Event().wait()
        return self.rule(asked)
