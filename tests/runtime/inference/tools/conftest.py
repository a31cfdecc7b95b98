"""Fixtures of the tests of tools: a real HTTP server, and services that have tools of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.service import API_KEY, Service, run_service, write_keys
from tests.runtime.inference.tools.tool_server import ToolServer

Offer = Callable[..., Awaitable[Service]]
"""Starts a service that has these tools."""


@pytest.fixture
async def server() -> AsyncIterator[ToolServer]:
    running = await ToolServer().start()
    yield running
    await running.stop()


@pytest.fixture
async def offer(settings: InferenceSettings, server: ToolServer, tmp_path: Path) -> AsyncIterator[Offer]:
    async with AsyncExitStack() as stack:

        async def start(*tools: dict[str, Any], **changes: object) -> Service:
            declared = settings.model_copy(update={"tools_file": declare(tmp_path, server, *tools), **changes})
            return await stack.enter_async_context(run_service(declared, write_keys(tmp_path / "k", tester=API_KEY)))

        yield start


def declare(folder: Path, server: ToolServer, *tools: dict[str, Any]) -> Path:
    path = folder / "tools.json"
    hosts = [server.host, f"localhost:{server.port}", f"tool.example:{server.port}"]
    path.write_text(json.dumps({"allowedHosts": hosts, "tools": tools}))
    return path
