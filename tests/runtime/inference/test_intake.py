"""Large bodies share a bounded room while they are read, small ones pass beside them, and a client that stops in the
middle of one gives its share back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from runtime.inference.errors import BusyError
from runtime.inference.intake import FREE, Intake
from runtime.inference.replies import Pace
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.metrics_page import until_metrics
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys
from tests.runtime.inference.test_envelope import DEADLINE, check_envelope

LIMIT = 2_000_000
LARGE = json.dumps({"query": "q", "context": "x" * 1_500_000}).encode()
PATHS = ("/rlm/v1/runs", "/v1/chat/completions", "/v1/responses", "/v1/files")


@contextlib.asynccontextmanager
async def small_service(settings: InferenceSettings, tmp_path: Path, pace: Pace) -> AsyncIterator[Service]:
    limited = settings.model_copy(update={"max_body_bytes": LIMIT})
    async with run_service(limited, write_keys(tmp_path / "small-keys", tester=API_KEY), pace) as service:
        yield service


@contextlib.asynccontextmanager
async def stalled(service: Service, path: str, sent: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A request whose body stops after `sent`."""
    url = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: {LIMIT}\r\n"
    form = "Content-Type: multipart/form-data; boundary=B\r\n" if path == "/v1/files" else ""
    writer.write(f"{head}{form}\r\n".encode() + sent)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_large_body_beside_another_one_is_503_and_small_ones_pass(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    url = "/rlm/v1/runs"
    async with small_service(settings, tmp_path, Pace()) as service, stalled(service, url, LARGE[:-1]):
        refused = 0
        while not refused:  # until the server has read what the stalled client sent
            model.replies.clear()
            model.enqueue("FINAL(42)")
            async with service.http.post(service.url + url, data=io.BytesIO(LARGE)) as response:
                if response.status == 503:
                    refused += check_envelope(await response.read())["code"] == "busy"
                    assert response.headers["Retry-After"] == "1"
        async with service.http.post(service.url + url, json={"query": "q"}) as small:
            assert (await small.json())["answer"] == "42"


async def test_sdk_gets_through_once_the_other_is_gone(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    messages: Any = [{"role": "user", "content": "x" * 1_500_000}]
    async with small_service(settings, tmp_path, Pace()) as service, service.openai(max_retries=9) as client:
        async with stalled(service, "/rlm/v1/runs", LARGE[:-1]):
            hasty, refused = client.with_options(max_retries=0), None
            while refused is None:  # until the server has read what the stalled client sent
                model.replies.clear()
                model.enqueue("FINAL(42)")
                try:
                    await hasty.chat.completions.create(model=SERVED_MODEL, messages=messages)
                except openai.InternalServerError as error:
                    refused = error
        assert refused.code == "busy"
        assert await service.metric("rlm_refused_requests_total", code="busy") == 1
        done = await client.chat.completions.create(model=SERVED_MODEL, messages=messages)
    assert done.choices[0].message.content == "42"


@pytest.mark.parametrize("path", PATHS)
async def test_body_that_stops_is_408_and_the_connection_closed(
    settings: InferenceSettings, tmp_path: Path, path: str
) -> None:
    part = b'--B\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    sent = part if path == "/v1/files" else LARGE[:1000]
    async with (
        small_service(settings, tmp_path, Pace(silence=0.2)) as service,
        stalled(service, path, sent) as reader,
        asyncio.timeout(DEADLINE),
    ):
        reply = await reader.read()
        head, _, body = reply.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in head.lower()
        assert check_envelope(body)["code"] == "request_timeout"
        await until_metrics(service, service.url, **{'rlm_refused_requests_total{code="request_timeout"}': 1})


def test_room_is_given_back_and_the_beginning_of_each_body_is_free() -> None:
    intake = Intake(1000)
    with intake.share() as small, intake.share() as large:
        small.grow(FREE)
        large.grow(FREE + 600)
        with intake.share() as third, pytest.raises(BusyError):
            third.grow(FREE + 401)
        small.grow(400)
        with pytest.raises(BusyError):
            small.grow(1)
    with intake.share() as alone:
        alone.grow(FREE + 1000)
