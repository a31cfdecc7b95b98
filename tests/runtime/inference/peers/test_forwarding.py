"""What is sent on to another replica, and what comes back, with a scripted one in its place that says what it got."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.runtime.inference.service import API_KEY, Service, build_lonely_settings, run_service, write_keys

TOKEN = "5ca1ab1e"
RUN = f"{'0' * 12}{TOKEN}{'0' * 12}"
DEADLINE = 60.0


@dataclass
class Owner:
    """A replica that answers as the test wants; it knows the one key of the tests."""

    url: str = ""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a caller went away
    first: asyncio.Event = field(default_factory=asyncio.Event)  # of a stream was sent

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/rlm/v1/peer":
            return web.json_response({"storage": TOKEN})
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((f"{request.method} {request.rel_url}", headers))
        response = web.StreamResponse(headers={"X-Said": "by the owner", "Content-Type": "text/event-stream"})
        if request.path.endswith("/cancel"):
            return web.json_response({"error": {"code": "cancelled"}}, status=409, headers={"Retry-After": "7"})
        await response.prepare(request)
        await response.write(b": ping\n\n")
        self.first.set()
        if request.query.get("after") == "1":  # half a reply
            assert request.transport is not None
            request.transport.abort()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return response


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    scripted = Owner()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield scripted
    await runner.cleanup()


@pytest.fixture
async def service(owner: Owner, tmp_path: Path) -> AsyncIterator[Service]:
    settings = build_lonely_settings(peers_url=owner.url)
    async with run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY)) as running:
        yield running


async def test_stream_comes_as_it_is_said_and_a_caller_who_leaves_closes_it(service: Service, owner: Owner) -> None:
    async with asyncio.timeout(DEADLINE):
        async with service.http.get(f"{service.url}/rlm/v1/runs/{RUN}/events") as response:
            assert await response.content.readany() == b": ping\n\n"
            assert response.headers["X-Said"] == "by the owner"
            assert not owner.left.is_set()
            response.close()
        await owner.left.wait()


async def test_reply_that_breaks_off_is_broken_off(service: Service, owner: Owner) -> None:
    async with asyncio.timeout(DEADLINE), service.http.get(f"{service.url}/rlm/v1/runs/{RUN}/events?after=1") as cut:
        with pytest.raises(aiohttp.ClientPayloadError):
            await cut.read()


async def test_refusal_of_the_owner_is_the_callers_with_its_headers(service: Service, owner: Owner) -> None:
    async with service.http.post(f"{service.url}/rlm/v1/runs/{RUN}/cancel") as response:
        assert (response.status, response.headers["Retry-After"]) == (409, "7")
        assert (await response.json())["error"]["code"] == "cancelled"


async def test_owner_gets_the_callers_key_and_nothing_that_is_not_known(service: Service, owner: Owner) -> None:
    given = {"X-Forwarded-For": "203.0.113.9", "Cookie": "a=b", "Last-Event-ID": "3", "x-request-id": "mine"}
    async with asyncio.timeout(DEADLINE), service.http.get(f"{service.url}/rlm/v1/runs/{RUN}/events", headers=given):
        await owner.first.wait()
    [(request, headers)] = owner.seen
    assert request == f"GET /rlm/v1/runs/{RUN}/events"
    assert headers["authorization"] == f"Bearer {API_KEY}"
    assert (headers["last-event-id"], headers["x-request-id"], headers["x-rlm-forwarded"]) == ("3", "mine", "1")
    assert not {"x-forwarded-for", "cookie"} & headers.keys()


async def test_request_with_a_wrong_key_goes_to_nobody(service: Service, owner: Owner) -> None:
    for mark in ({}, {"X-RLM-Forwarded": "1"}):
        wrong = {"Authorization": "Bearer wrong", **mark}
        for path in (f"/rlm/v1/runs/{RUN}", "/rlm/v1/runs", "/v1/files", "/rlm/v1/peer", "/rlm/v1/peer/twin"):
            async with service.http.get(service.url + path, headers=wrong) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (401, "invalid_api_key")
    assert owner.seen == []


@pytest.mark.parametrize(("path", "status"), [(f"/rlm/v1/runs/{RUN}", 404), (f"/v1/files/file-{RUN}", 404)])
async def test_marked_request_is_answered_where_it_is_met(
    service: Service, owner: Owner, path: str, status: int
) -> None:
    async with service.http.get(service.url + path, headers={"X-RLM-Forwarded": "1"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (status, "owner_lost")
    assert owner.seen == []


async def test_address_in_the_request_line_is_not_where_it_is_sent(service: Service, owner: Owner) -> None:
    """A proxy's form of the request, with another host in it."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with contextlib.closing(writer):
        line = f"POST http://198.51.100.1:1/rlm/v1/runs/{RUN}/cancel HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
        writer.write(f"{line}Authorization: Bearer {API_KEY}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(DEADLINE):
            assert b" 409 " in await reader.readline()
    assert [request for request, _ in owner.seen] == [f"POST /rlm/v1/runs/{RUN}/cancel"]


async def test_replica_that_is_silent_may_have_it_and_lists_say_so(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await reader.read(1)  # the connection ends before its first reply

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    settings = build_lonely_settings(peers_url=f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
    async with silent, run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
        async with service.http.get(f"{service.url}/rlm/v1/runs/{RUN}") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (503, "owner_unreachable")
            assert int(response.headers["Retry-After"]) > 0
        async with service.http.get(f"{service.url}/rlm/v1/runs") as response:
            assert (await response.json())["missing_replicas"] == 1
        unreachable = {"outcome": "unreachable", "purpose": "identity"}
        assert await service.metric("rlm_peer_requests_total", **unreachable) >= 1
