"""Requests that are refused: each with its status, its code and the one envelope."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from runtime.sandbox.app import create_app
from runtime.sandbox.service import SandboxService
from runtime.sandbox.settings import SandboxSettings
from runtime.wire import LOAD_HEADER, REQUEST_ID_HEADER, ErrorBody, ErrorCode, Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.server import KEYS, SandboxServer


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "null",
        "{}",
        '{"code": 5}',
        '{"code": "1", "timeout": NaN}',
        '{"code": "1", "timeout": Infinity}',
        '{"code": "1", "timeout": "soon"}',
        '{"code": "1", "timeout": 0}',
        '{"code": "1", "timeout": -1}',
        '{"code": "1", "unknown": 1}',
        '{"code": "1", "session_id": ""}',
        '{"code": "1", "session_id": "../etc"}',
        '{"code": "1", "session_id": "a/b"}',
        '{"code": "1", "session_id": "a\\n"}',
        '{"code": "1", "session_id": "' + "a" * 129 + '"}',
        '{"code": "1", "locals": "all"}',
        '{"code": "\\ud800"}',
        '{"code": "1", "request_id": "' + "r" * 129 + '"}',
        '{"code": ' + "[" * 100_000,
    ],
)
async def test_a_malformed_execute_is_400_that_says_what_is_wrong(client: SandboxClient, body: str) -> None:
    error = await client.refused(400, ErrorCode.MALFORMED, "POST", "/execute", data=body.encode())
    assert error.message


async def test_a_body_that_is_no_utf8_is_400(client: SandboxClient) -> None:
    await client.refused(400, ErrorCode.MALFORMED, "POST", "/execute", data=b'{"code": "\xff"}')


async def test_the_field_that_is_wrong_is_named(client: SandboxClient) -> None:
    error = await client.refused(400, ErrorCode.MALFORMED, "POST", "/execute", json={"code": "1", "timeout": "soon"})
    assert error.message.startswith("timeout:")
    assert error.details == [{"field": "timeout", "problem": error.details[0]["problem"]}]


@pytest.mark.parametrize(
    "body",
    [{"host_functions": [1] * 1_000_000}, {f"unknown{number}": 1 for number in range(300_000)}],
    ids=["a list", "unknown fields"],
)
async def test_a_body_with_very_many_mistakes_gets_a_short_answer(
    client: SandboxClient, body: dict[str, object]
) -> None:
    reply = await client.request("POST", "/sessions", json=body)
    assert (reply.status, reply.error().code) == (400, ErrorCode.MALFORMED)
    assert len(reply.body) < 10_000


async def test_more_host_functions_than_a_session_may_have_are_400(client: SandboxClient) -> None:
    names = [f"f{number}" for number in range(65)]
    await client.refused(400, ErrorCode.MALFORMED, "POST", "/sessions", json={"host_functions": names})


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": -1},
        {"seed": 2**64},
        {"checkpoint": "always"},
        {"limits": {"memory": 0}},
        {"limits": {"cpu": 1}},
        {"x": 1},
    ],
)
async def test_a_malformed_session_is_400(client: SandboxClient, fields: dict[str, object]) -> None:
    await client.refused(400, ErrorCode.MALFORMED, "POST", "/sessions", json=fields)


async def test_code_beyond_a_megabyte_is_413(client: SandboxClient) -> None:
    code = "#" * ((1 << 20) + 1)
    await client.refused(413, ErrorCode.TOO_LARGE, "POST", "/execute", json={"code": code})
    await client.refused(413, ErrorCode.TOO_LARGE, "POST", "/sessions", json={"prelude": code})
    assert (await client.execute("#" * (1 << 20))).status is Status.OK


async def test_a_body_beyond_the_requests_limit_is_413(client: SandboxClient) -> None:
    body = json.dumps({"code": "1", "request_id": "x" * (25 << 20)}).encode()
    await client.refused(413, ErrorCode.TOO_LARGE, "POST", "/execute", data=body)


async def test_a_compressed_bomb_is_413_and_broken_compression_400(client: SandboxClient) -> None:
    headers = {"Content-Encoding": "gzip"}
    bomb = gzip.compress(b"x" * (60 << 20))
    await client.refused(413, ErrorCode.TOO_LARGE, "POST", "/execute", data=bomb, headers=headers)
    await client.refused(400, ErrorCode.MALFORMED, "POST", "/execute", data=b"no gzip", headers=headers)


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/nothing"), ("POST", "/sessions/a/b/c")])
async def test_an_unknown_path_is_404_with_its_own_code(client: SandboxClient, method: str, path: str) -> None:
    await client.refused(404, ErrorCode.NOT_FOUND, method, path)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/execute"), ("PATCH", "/sessions/a"), ("POST", "/sessions/a/variables/v")]
)
async def test_a_wrong_method_is_405_that_names_the_right_ones(client: SandboxClient, method: str, path: str) -> None:
    reply = await client.request(method, path)
    assert (reply.status, reply.error().code) == (405, ErrorCode.METHOD_NOT_ALLOWED)
    assert reply.headers["Allow"]


@pytest.mark.parametrize("session", ["%2e%2e%2fetc", "a%0a", "%00", "-a", "a" * 200])
async def test_an_id_that_cannot_exist_is_404(client: SandboxClient, session: str) -> None:
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "GET", f"/sessions/{session}")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic a2V5", "Bearer \xff"])
async def test_without_a_key_every_route_is_401(server: SandboxServer, header: str | None) -> None:
    routes = [
        ("POST", "/execute"),
        ("POST", "/sessions"),
        ("GET", "/sessions/a"),
        ("DELETE", "/sessions/a"),
        ("POST", "/sessions/a/resume"),
        ("POST", "/sessions/touch"),
        ("PUT", "/sessions/a/variables/v"),
        ("GET", "/sessions/a/variables/v"),
        ("GET", "/nothing"),
    ]
    headers = {} if header is None else {"Authorization": header}
    async with connect(server, key=None) as anonymous:
        for method, path in routes:
            reply = await anonymous.request(method, path, headers=headers)
            assert (reply.status, reply.error().code) == (401, ErrorCode.UNAUTHENTICATED), path
            assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_health_readiness_metrics_and_version_need_no_key(server: SandboxServer) -> None:
    async with connect(server, key=None) as anonymous:
        for path in ("/healthz", "/readyz", "/metrics", "/version"):
            assert (await anonymous.request("GET", path)).status == 200


async def test_every_reply_carries_the_load_and_the_request_id(client: SandboxClient) -> None:
    await client.execute("1", new_id())
    for path, status in (("/healthz", 200), ("/nothing", 404)):
        reply = await client.request("GET", path, headers={REQUEST_ID_HEADER: "mine-1"})
        assert reply.status == status
        assert reply.headers[REQUEST_ID_HEADER] == "mine-1"
        load = dict(part.split("=") for part in reply.headers[LOAD_HEADER].split(";"))
        assert set(load) == {"running", "queued", "sessions", "capacity"}
        assert 1 <= int(load["sessions"]) <= int(load["capacity"])


async def test_another_key_neither_sees_nor_disturbs_a_session(client: SandboxClient, stranger: SandboxClient) -> None:
    session = new_id()
    await client.execute("secret = 'mine'", session)
    await stranger.refused(404, ErrorCode.SESSION_NOT_FOUND, "GET", f"/sessions/{session}")
    await stranger.refused(404, ErrorCode.SESSION_NOT_FOUND, "GET", f"/sessions/{session}/variables/secret")
    body = {"call_id": "x", "result": ""}
    await stranger.refused(404, ErrorCode.SESSION_NOT_FOUND, "POST", f"/sessions/{session}/resume", json=body)
    assert (await stranger.put_raw(session, "secret", b"x")).error().code is ErrorCode.SESSION_NOT_FOUND
    assert (await stranger.touch(session)).unknown == [session]
    await stranger.delete(session)
    same_id = await stranger.execute("'secret' in globals()", session)
    assert (same_id.result, same_id.created) == ("False", True)
    assert (await client.execute("secret", session)).result == "'mine'"


# --- bytes on the wire that no client library sends ------------------------------------------------------------------


async def exchange(server: SandboxServer, request: bytes) -> bytes:
    """What the service answers to raw bytes, up to the end of the connection."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


def raw_request(*headers: str, body: bytes = b'{"code": "1"}') -> bytes:
    lines = ["POST /execute HTTP/1.1", "Host: sandbox", f"Authorization: Bearer {KEYS['alice']}", "Connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


@pytest.mark.parametrize(
    "request_bytes",
    [
        raw_request("Content-Length: 13", "Content-Length: 5"),
        raw_request("Content-Length: -1"),
        raw_request("Content-Length: 1x"),
        raw_request("Content-Length: 13", "Transfer-Encoding: chunked"),
        raw_request("X-Big: " + "x" * 100_000),
        raw_request("Bad Header: 1", "Content-Length: 13"),
        b"\x00\x01\x02\r\n\r\n",
        b"POST /execute HTTP/9.9\r\n\r\n",
    ],
)
async def test_broken_http_is_refused_and_the_service_goes_on(
    server: SandboxServer, client: SandboxClient, request_bytes: bytes
) -> None:
    answer = await exchange(server, request_bytes)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert (await client.execute("1")).status is Status.OK


async def test_a_client_that_disconnects_in_its_headers_or_body_disturbs_nobody(
    server: SandboxServer, client: SandboxClient
) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    for part in (raw_request()[:40], raw_request("Content-Length: 1000000")):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(part)
        await writer.drain()
        writer.close()
    assert (await client.execute("1")).status is Status.OK


# --- a service that has not started ----------------------------------------------------------------------------------


@pytest.fixture
async def unstarted() -> AsyncIterator[TestClient]:  # type: ignore[type-arg]  # its parameters are private to aiohttp
    settings = SandboxSettings(auth_mode="Disabled")
    app = create_app(SandboxService(settings), None, read_seconds=0.05)
    async with TestClient(TestServer(app)) as made:
        yield made


async def test_before_the_guest_is_ready_cells_are_503_with_a_time_to_retry(
    unstarted: TestClient,  # type: ignore[type-arg]  # see above
) -> None:
    async with unstarted.post("/execute", json={"code": "1"}) as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
        error = ErrorBody.model_validate_json(await reply.read()).error
        assert (error.code, "starting" in error.message) == (ErrorCode.NOT_READY, True)


async def test_a_body_that_does_not_arrive_in_time_is_408(
    unstarted: TestClient,  # type: ignore[type-arg]  # see above
) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b'{"code":'
        await asyncio.Event().wait()

    async with unstarted.post("/execute", data=slow()) as reply:
        assert reply.status == 408
        error = ErrorBody.model_validate_json(await reply.read()).error
        assert error.code is ErrorCode.SLOW_REQUEST


async def test_with_authentication_disabled_no_key_is_asked_for(
    unstarted: TestClient,  # type: ignore[type-arg]  # see above
) -> None:
    async with unstarted.get("/sessions/a") as reply:
        assert reply.status == 503
