"""An API server that says what a test tells it to, over real HTTP: for answers that a healthy server does not give."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class ScriptedApi:
    """`answers` by method and path: each request takes the next one, the last one stays."""

    answers: dict[str, list[web.Response]] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self.answers.setdefault(f"{method} {path}", []).append(web.json_response(body, status=status))

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.json() if request.can_read_body else None)
        answers = self.answers.get(f"{request.method} {request.path}")
        if not answers:
            return web.Response(status=404, text="404 page not found")
        scripted = answers.pop(0) if len(answers) > 1 else answers[0]
        assert isinstance(scripted.body, bytes)
        pause = {name: value for name, value in scripted.headers.items() if name == "Retry-After"}
        return web.Response(
            body=scripted.body, status=scripted.status, headers=pause, content_type=scripted.content_type
        )

    async def start(self) -> TestServer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        server = TestServer(app)
        await server.start_server()
        return server


def write_kubeconfig(path: Path, server: str, token_file: Path) -> Path:
    """A kubeconfig whose token is in a file of its own, as a rotated one is."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"tokenFile": str(token_file)}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path
