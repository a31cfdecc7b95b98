"""Whatever a client sends, a refusal is JSON in OpenAI's envelope with a request id: for every path and method, and for
bytes that are no HTTP at all."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.runtime.inference.service import (
    API_KEY,
    SERVED_MODEL,
    Service,
    build_lonely_settings,
    run_service,
    write_keys,
)

DEADLINE = 60.0
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
PATHS = (
    "/v1/chat/completions",
    "/chat/completions",
    "/v1/files",
    "/v1/files/file-1",
    "/v1/files/file-1/content",
    "/v1/models",
    f"/v1/models/{SERVED_MODEL}",
    "/rlm/v1/runs",
    "/rlm/v1/runs/x",
    "/rlm/v1/runs/x/events",
    "/rlm/v1/runs/x/cancel",
    "/v1/responses",
    "/v1/responses/resp_x",
    "/v1/responses/resp_x/cancel",
    "/v1/responses/resp_x/input_items",
    "/v1/nothing",
    "/v1//models",
    "/%00",
    "/v1/files/%2e%2e%2f",
)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Without model and sandbox, which no request here gets as far as."""
    settings = build_lonely_settings(max_body_bytes=100_000)
    async with run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY)) as running:
        yield running


def check_envelope(body: bytes) -> dict[str, Any]:
    parsed = json.loads(body)
    assert set(parsed) == {"error"}
    assert {"message", "type", "param", "code"} <= set(parsed["error"])
    assert parsed["error"]["message"]
    return dict(parsed["error"])


async def send_raw(service: Service, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of the first reply to these bytes."""
    url = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(DEADLINE):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
        return int(lines[0].split()[1]), headers, body
    finally:
        writer.close()


@pytest.mark.parametrize("path", PATHS)
async def test_every_method_of_every_path_is_answered_with_a_request_id_and_refused_in_the_envelope(
    service: Service, path: str
) -> None:
    for method in METHODS:
        async with service.http.request(method, service.url + path) as response:
            body = await response.read()
            assert response.headers["x-request-id"]
            assert response.status < 500, (method, path)
            if response.status == 405:
                assert method not in response.headers["Allow"].split(", ")
            if method == "HEAD":
                assert body == b""
            elif response.status >= 400:
                check_envelope(body)


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"hello\r\n\r\n", 400, "malformed_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), 400, "malformed_request"),  # TLS
        (b"GET / HTTP/9.9\r\n\r\n", 400, "malformed_request"),
        (b"GET /v1/models HTTP/1.1\r\n\r\n", 400, "malformed_request"),  # no Host
        (HEAD + b"Content-Length: x\r\n\r\n", 400, "malformed_request"),
        (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "malformed_request"),
        (HEAD + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431, "malformed_request"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 431, "malformed_request"),
        (HEAD + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n", 431, "malformed_request"),
        (HEAD + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx", 415, "unsupported_encoding"),
    ],
)
async def test_malformed_http_is_refused_in_the_envelope_and_the_connection_closed(
    service: Service, sent: bytes, status: int, code: str
) -> None:
    answered, headers, body = await send_raw(service, sent)
    assert (answered, headers["connection"].lower()) == (status, "close")
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
    assert headers["content-type"].startswith("application/json")
    assert check_envelope(body)["code"] == code
    assert await service.metric("rlm_refused_requests_total", code=code) == 1


async def test_key_in_a_head_that_is_too_long_is_not_repeated(service: Service) -> None:
    secret = b"sk-" + b"s" * 20
    _, _, body = await send_raw(service, HEAD + b"Authorization: Bearer " + secret + b"a" * 9000 + b"\r\n\r\n")
    assert secret not in body


async def test_broken_chunked_body_is_400(service: Service) -> None:
    head = HEAD + f"Authorization: Bearer {API_KEY}\r\n".encode() + b"Transfer-Encoding: chunked\r\n\r\n"
    status, headers, body = await send_raw(service, head + b"5\r\nhello\r\nzz\r\n")
    assert (status, check_envelope(body)["code"]) == (400, "malformed_request")
    assert headers["x-request-id"]


async def test_any_bytes_get_an_envelope_or_a_closed_connection_and_the_service_serves_on(service: Service) -> None:
    loop = asyncio.get_running_loop()

    @hypothesis_settings(
        max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(
        st.one_of(
            st.binary(min_size=1, max_size=300),
            st.binary(max_size=60).map(lambda bytes_: HEAD + bytes_ + b"\r\n\r\n"),
            st.binary(max_size=60).map(lambda bytes_: b"GET /" + bytes_ + b" HTTP/1.1\r\nHost: h\r\n\r\n"),
        )
    )
    def send(sent: bytes) -> None:
        asyncio.run_coroutine_threadsafe(exchange(service, sent), loop).result(DEADLINE)

    await asyncio.to_thread(send)
    async with service.http.get(f"{service.url}/v1/models") as response:
        assert response.status == 200


async def exchange(service: Service, sent: bytes) -> None:
    """Send, say that nothing more comes, and look at what comes back."""
    url = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(sent)
    writer.write_eof()
    try:
        received = await reader.read()
    finally:
        writer.close()
    for reply in re.split(rb"HTTP/1\.[01] ", received)[1:]:
        head, _, body = reply.partition(b"\r\n\r\n")
        assert reply[:1] == b"4", reply
        assert b"x-request-id: " in head.lower()
        check_envelope(body)
