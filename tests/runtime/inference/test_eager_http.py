"""When requests to models are on their way."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.inference.eager_http import AT_ONCE
from runtime.inference.llm import Completion, Models
from runtime.inference.metrics import Metrics
from runtime.inference.settings import InferenceSettings
from runtime.inference.tracing import Tracing
from tests.runtime.inference.scripted_model import ScriptedModel, build_completion

REPLY = json.dumps(build_completion("m", "r")).encode()
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(REPLY)}\r\n\r\n".encode()


@asynccontextmanager
async def models_at(url: str) -> AsyncIterator[Models]:
    models = Models(InferenceSettings(model_name="m", model_base_url=url), Metrics(), Tracing())
    try:
        yield models
    finally:
        await models.close()


async def test_a_small_request_is_sent_in_the_round_in_which_it_is_asked() -> None:
    """Looked at from the other end, without another round of the event loop."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        async with asyncio.timeout(60), models_at(f"http://127.0.0.1:{listener.getsockname()[1]}/v1") as models:
            first = asyncio.create_task(models.ask_sub("first", None))
            connection, _ = await loop.sock_accept(listener)
            with connection:
                await loop.sock_recv(connection, 65536)
                await loop.sock_sendall(connection, HEAD + REPLY)
                assert isinstance(await first, Completion)
                second = asyncio.create_task(models.ask_sub("second", None))
                await asyncio.sleep(0)
                assert b'"content":"second"' in connection.recv(65536)
                await loop.sock_sendall(connection, HEAD + REPLY)
                assert isinstance(await second, Completion)


async def test_large_requests_arrive_whole_beside_small_ones(model: ScriptedModel) -> None:
    model.sub_rule = lambda prompt: str(len(prompt))
    sizes = [1_000_000, 1, AT_ONCE - 200, AT_ONCE, 2 * AT_ONCE, 300_000, 7]
    async with asyncio.timeout(60), models_at(model.base_url) as models:
        for _ in range(2):
            answers = await asyncio.gather(*(models.ask_sub("x" * size, None) for size in sizes))
            assert [answer.text for answer in answers if isinstance(answer, Completion)] == [str(n) for n in sizes]
