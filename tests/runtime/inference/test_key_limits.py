"""The limits of a key as its clients meet them: headers, 429 and the SDK's retry, the quota of files."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from runtime.inference.key_limits import KeyLimits
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.metrics_page import until_metrics
from tests.runtime.inference.scripted_model import Gate, Hang, ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys

QUESTION: Any = [{"role": "user", "content": "How many?"}]
STANDING = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
DURATION = re.compile(r"(\d+m)?[\d.]+m?s")
OTHER_KEY = "another-key"


@contextlib.asynccontextmanager
async def limited(settings: InferenceSettings, tmp_path: Path, **limits: int) -> AsyncIterator[Service]:
    """A service where the key `tester` has these limits and the key `other` none."""
    every = {f"key_{name}": limit for name, limit in limits.items()}
    free = KeyLimits(requests_per_minute=None, concurrent_runs=None, file_bytes=None)
    changed = settings.model_copy(update={**every, "key_limits": {"other": free}})
    keys = write_keys(tmp_path / "limited-keys", tester=API_KEY, other=OTHER_KEY)
    async with run_service(changed, keys) as service:
        yield service


async def test_every_reply_to_a_post_says_where_the_key_stands(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    model.enqueue("FINAL(1)", "FINAL(2)")
    async with limited(settings, tmp_path, requests_per_minute=30) as service:
        chat = {"model": SERVED_MODEL, "messages": QUESTION}
        bodies: list[tuple[str, dict[str, Any], int]] = [
            ("/v1/chat/completions", chat, 200),
            ("/v1/chat/completions", {**chat, "stream": True}, 200),
            ("/rlm/v1/runs", {}, 400),
        ]
        for left, (path, body, status) in zip((29, 28, 27), bodies, strict=True):
            async with service.http.post(service.url + path, json=body) as response:
                await response.read()
                limit, remaining, reset = (response.headers[name] for name in STANDING)
                assert (response.status, limit, remaining) == (status, "30", str(left))
                assert DURATION.fullmatch(reset)


async def test_reading_and_deleting_do_not_count(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    async with limited(settings, tmp_path, requests_per_minute=1) as service:
        for _ in range(3):
            async with service.http.get(f"{service.url}/v1/models") as response:
                assert response.status == 200
                assert not set(STANDING) & {name.lower() for name in response.headers}
        async with service.http.get(f"{service.url}/healthz") as response:
            assert response.status == 200


async def test_request_beyond_the_minute_is_429_for_that_key_only(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    model.enqueue(*["FINAL(42)"] * 2)
    async with limited(settings, tmp_path, requests_per_minute=1) as service:
        async with service.openai(max_retries=0) as client:
            await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION)
            with pytest.raises(openai.RateLimitError) as refused:
                await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION)
        async with service.openai(api_key=OTHER_KEY) as other:
            done = await other.chat.completions.with_raw_response.create(model=SERVED_MODEL, messages=QUESTION)
        assert not set(STANDING) & set(done.headers)
        assert await service.metric("rlm_refused_requests_total", code="rate_limit_exceeded") == 1
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "requests")
    headers = refused.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 60
    assert [headers[name] for name in STANDING[:2]] == ["1", "0"]
    assert len(model.root_calls) == 2


async def test_run_beyond_those_in_progress_is_429_and_passes_when_one_ended(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(1)"), "FINAL(2)", "FINAL(3)")
    async with (
        limited(settings, tmp_path, concurrent_runs=1) as service,
        service.openai(max_retries=0) as client,
        service.openai(api_key=OTHER_KEY) as other,
    ):
        first = asyncio.create_task(client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION))
        await model.until(lambda scripted: len(scripted.root_calls) == 1)
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION)
        await other.chat.completions.create(model=SERVED_MODEL, messages=QUESTION)
        gate.set()
        await first
        await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION)
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "concurrent_runs")
    assert int(refused.value.response.headers["retry-after"]) > 0


async def test_retry_that_joins_the_run_in_progress_is_not_refused_for_it(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    body = {"query": "How many?"}
    async with limited(settings, tmp_path, concurrent_runs=1) as service:
        url = f"{service.url}/rlm/v1/runs"
        first = asyncio.create_task(service.http.post(url, json=body))
        await model.until(lambda scripted: len(scripted.root_calls) == 1)
        retry = asyncio.create_task(service.http.post(url, json=body, headers={"x-stainless-retry-count": "1"}))
        gate.set()
        for asked in (first, retry):
            async with await asked as response:
                assert (await response.json())["answer"] == "42"
    assert len(model.root_calls) == 1


async def test_equal_questions_that_wait_for_one_another_have_a_run_each(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    """A refused one is retried by the SDK, and must not be taken for a repeat of the one that was not."""
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(1)"), "FINAL(2)")
    async with limited(settings, tmp_path, concurrent_runs=1) as service, service.openai(max_retries=9) as client:
        asked = [
            asyncio.create_task(client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION)) for _ in range(2)
        ]
        await until_metrics(service, service.url, **{'rlm_refused_requests_total{code="rate_limit_exceeded"}': 1})
        gate.set()
        assert {(await each).choices[0].message.content for each in asked} == {"1", "2"}


async def test_retry_that_is_refused_itself_joins_its_run_with_the_next(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    model.enqueue("FINAL(42)")
    async with limited(settings, tmp_path, requests_per_minute=30) as service:
        url, body = f"{service.url}/rlm/v1/runs", {"query": "How many?"}
        async with service.http.post(url, json=body) as first:
            assert first.status == 200
        statuses: list[int] = []
        while 429 not in statuses or statuses[-1] == 429:
            async with service.http.post(url, json=body, headers={"x-stainless-retry-count": "1"}) as retry:
                statuses.append(retry.status)
    assert len(model.root_calls) == 1


async def test_dropped_run_gives_its_place_back(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    model.enqueue(Hang(), "FINAL(42)")
    async with limited(settings, tmp_path, concurrent_runs=1) as service, service.openai(max_retries=20) as client:
        stream = await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION, stream=True)
        await model.until(lambda scripted: scripted.hanging == 1)
        await stream.close()
        await model.until(lambda scripted: scripted.abandoned == 1)
        done = await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION)
    assert done.choices[0].message.content == "42"


async def test_files_beyond_the_keys_quota_are_413_and_name_what_to_delete(
    settings: InferenceSettings, tmp_path: Path
) -> None:
    async with (
        limited(settings, tmp_path, file_bytes=1000) as service,
        service.openai() as client,
        service.openai(api_key=OTHER_KEY) as other,
    ):
        small = await client.files.create(file=("small", b"x" * 300), purpose="user_data")
        large = await client.files.create(file=("large", b"x" * 600), purpose="user_data")
        with pytest.raises(openai.APIStatusError) as refused:
            await client.files.create(file=("third", b"x" * 101), purpose="user_data")
        assert (refused.value.status_code, refused.value.code) == (413, "storage_full")
        assert large.id in refused.value.message
        assert small.id not in refused.value.message
        await other.files.create(file=("of another key", b"x" * 2000), purpose="user_data")
        await client.files.delete(large.id)
        await client.files.create(file=("third", b"x" * 700), purpose="user_data")
