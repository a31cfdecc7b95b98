"""Server-sent events as they are cut by the network, and how a service that is not there or refuses is reported."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rlmctl.asking.client import Endpoint, read_events, stream_run
from rlmctl.errors import EndpointError
from runtime.inference.events import RunStarted, frame_event
from tests.ports import closed_port

STARTED = RunStarted.model_validate(
    {"run_id": "r", "seq": 0, "at": 1.0, "model": "m\n\nx", "context": {"type": "text", "characters": 3}}
)


async def chunks_of(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 7, 10_000_000])
async def test_events_are_found_however_the_bytes_arrive(size: int) -> None:
    large = b"data: " + b"x" * (10_000 if size < 10 else 300_000) + b"\n\n"
    stream = b": ping\n\nevent: a\ndata: 1\n\n: ping\n\n" + large + b"data: 2\ndata: 3\n\ndata: cut off"
    events = [event async for event in read_events(chunks_of(stream, size))]
    assert events == [b"1", large[6:-2], b"2\n3"]


async def serve(handler: web.RequestHandler | object) -> TestServer:
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/rlm/v1/runs", handler)  # type: ignore[arg-type]  # a handler, however it is typed
    server = TestServer(app)
    await server.start_server()
    return server


async def ask(url: str, body: bytes = b"{}") -> tuple[list[object], int]:
    sent: list[int] = []
    events: list[object] = [event async for event in stream_run(Endpoint(url, "secret"), body, sent.append)]
    return events, sum(sent)


async def test_events_of_a_run_are_parsed_and_the_key_is_sent() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        assert len(await request.read()) == 5_000_000
        return web.Response(body=b": ping\n\n" + frame_event(STARTED))

    server = await serve(handler)
    events, sent = await ask(f"http://127.0.0.1:{server.port}/v1", b"x" * 5_000_000)
    assert events == [STARTED]
    assert sent == 5_000_000
    await server.close()


async def test_refusal_is_reported_in_the_service_s_words() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no such key", "code": "invalid_api_key"}}, status=401)

    server = await serve(handler)
    with pytest.raises(EndpointError, match=r"answered 401: no such key \(invalid_api_key\)"):
        await ask(f"http://127.0.0.1:{server.port}")
    await server.close()


async def test_redirect_is_not_followed_with_the_key() -> None:
    async def handler(_: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/elsewhere")

    server = await serve(handler)
    with pytest.raises(EndpointError, match="answered 307"):
        await ask(f"http://127.0.0.1:{server.port}")
    await server.close()


async def test_event_that_is_none_is_reported() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text='data: {"type": "surprise"}\n\n')

    server = await serve(handler)
    with pytest.raises(EndpointError, match="none of a run's"):
        await ask(f"http://127.0.0.1:{server.port}")
    await server.close()


async def test_nobody_listening_is_reported_with_what_to_check() -> None:
    with closed_port() as port, pytest.raises(EndpointError, match="is it running"):
        await ask(f"http://127.0.0.1:{port}")
