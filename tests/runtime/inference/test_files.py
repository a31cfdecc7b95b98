"""/v1/files through the openai SDK, and questions over uploaded files."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys

SHOW = "```repl\nFINAL(context if isinstance(context, str) else [(d['path'], d['text']) for d in context])\n```"


async def upload(client: openai.AsyncOpenAI, name: str, content: bytes, **options: Any) -> openai.types.FileObject:
    return await client.files.create(file=(name, content), purpose="user_data", **options)


async def test_uploaded_file_is_found_listed_read_and_deleted(service: Service) -> None:
    async with service.openai() as client:
        first = await upload(client, "one.txt", b"first")
        second = await upload(client, "two.txt", b"")
        assert (first.object, first.filename, first.bytes, first.purpose) == ("file", "one.txt", 5, "user_data")
        assert first.expires_at is not None
        assert first.expires_at > first.created_at
        assert (await client.files.retrieve(first.id)) == first
        assert [each.id async for each in client.files.list(order="asc")] == sorted([first.id, second.id])
        assert [each.id async for each in client.files.list(limit=1)] == sorted([first.id, second.id], reverse=True)
        assert [each.id async for each in client.files.list(purpose="assistants")] == []
        assert (await client.files.content(first.id)).content == b"first"
        assert (await client.files.content(second.id)).content == b""
        assert (await client.files.delete(first.id)).deleted
        with pytest.raises(openai.NotFoundError) as gone:
            await client.files.retrieve(first.id)
        assert gone.value.code == "file_not_found"
        assert [each.id async for each in client.files.list()] == [second.id]


async def test_synchronous_sdk_uploads_and_reads(service: Service) -> None:
    def use() -> bytes:
        with openai.OpenAI(base_url=f"{service.url}/v1", api_key=API_KEY) as client:
            stored = client.files.create(file=b"text", purpose="user_data")
            return client.files.content(stored.id).content

    assert await asyncio.to_thread(use) == b"text"


async def test_file_of_another_key_is_not_there(service: Service, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", second="another-key")
    async with service.openai() as client, service.openai(api_key="another-key") as other:
        stored = await upload(client, "one.txt", b"secret")
        assert [each.id async for each in other.files.list()] == []
        for use in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError):
                await use(stored.id)
        with pytest.raises(openai.NotFoundError):
            await other.chat.completions.create(model=SERVED_MODEL, messages=about(stored.id))
        assert (await client.files.content(stored.id)).content == b"secret"


@pytest.mark.parametrize("file_id", ["file-1", "..%2F..%2Fetc", "file-" + "0" * 31 + "%2F"])
async def test_id_that_is_none_is_404(service: Service, file_id: str) -> None:
    for path in (f"/v1/files/{file_id}", f"/v1/files/{file_id}/content"):
        async with service.http.get(service.url + path) as response:
            assert response.status == 404
            assert "error" in await response.json()


async def test_id_of_another_process_is_said_to_be_lost(service: Service) -> None:
    async with service.openai() as client:
        with pytest.raises(openai.NotFoundError) as lost:
            await client.files.retrieve("file-" + "0" * 32)
    assert lost.value.code == "owner_lost"
    assert "RLM_STORAGE_URL" in lost.value.message


def about(*file_ids: str, text: str = "What is it?") -> Any:
    files = [{"type": "file", "file": {"file_id": file_id}} for file_id in file_ids]
    return [{"role": "user", "content": [*files, {"type": "text", "text": text}]}]


async def test_file_in_a_message_is_the_context(service: Service, model: ScriptedModel) -> None:
    model.enqueue(SHOW)
    async with service.openai() as client:
        stored = await upload(client, "one.txt", "\ufeffgrün".encode())
        done = await client.chat.completions.create(model=SERVED_MODEL, messages=about(stored.id))
    assert done.choices[0].message.content == "grün"
    assert "What is it?" in str(model.root_calls[0].messages)
    assert "grün" not in str(model.root_calls[0].messages)


async def test_several_files_and_a_long_part_are_a_folder(service: Service, model: ScriptedModel) -> None:
    model.enqueue(SHOW)
    long_part = "x" * 9000
    async with service.openai() as client:
        first, second = await upload(client, "b.txt", b"B"), await upload(client, "a.txt", b"A")
        messages = about(first.id, second.id, first.id)
        messages[0]["content"].insert(0, {"type": "text", "text": long_part})
        done = await client.chat.completions.create(model=SERVED_MODEL, messages=messages)
    assert done.choices[0].message.content == str([("b.txt", "B"), ("a.txt", "A"), ("message part 1", long_part)])


async def test_run_over_files(service: Service, model: ScriptedModel) -> None:
    model.enqueue(SHOW, SHOW)
    async with service.openai() as client:
        first, second = await upload(client, "b.txt", b"B"), await upload(client, "a.txt", b"A")
    for ids, answer in [([first.id], "B"), ([first.id, second.id], str([("b.txt", "B"), ("a.txt", "A")]))]:
        async with service.http.post(f"{service.url}/rlm/v1/runs", json={"query": "q", "files": ids}) as response:
            assert (await response.json())["answer"] == answer


async def test_file_that_is_no_text_is_kept_but_refused_as_context(service: Service) -> None:
    async with service.openai() as client:
        stored = await upload(client, "image.png", b"\x89PNG")
        assert (await client.files.content(stored.id)).content == b"\x89PNG"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model=SERVED_MODEL, messages=about(stored.id))
    assert "not UTF-8" in refused.value.message


async def test_file_content_inside_a_message_is_refused_with_the_way_out(service: Service) -> None:
    part = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,QQ=="}}
    messages: Any = [{"role": "user", "content": [part]}]
    async with service.openai() as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model=SERVED_MODEL, messages=messages)
    assert "/v1/files" in refused.value.message


async def test_upload_without_file_or_purpose_or_with_more_is_400(service: Service) -> None:
    for field, param in [("purpose", "file"), ("file", "purpose"), ("other", "other")]:
        form = aiohttp.FormData({field: "x"}, default_to_multipart=True)
        async with service.http.post(f"{service.url}/v1/files", data=form) as response:
            assert response.status == 400
            assert (await response.json())["error"]["param"] == param
    async with service.http.post(f"{service.url}/v1/files", json={}) as response:
        assert response.status == 400


async def test_upload_may_be_compressed(service: Service) -> None:
    head = b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    body = head + b'--B\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n--B--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=B", "Content-Encoding": "gzip"}
    async with service.http.post(f"{service.url}/v1/files", data=gzip.compress(body), headers=headers) as response:
        assert (await response.json())["bytes"] == 5


async def test_file_beyond_a_limit_is_413(settings: InferenceSettings, tmp_path: Path) -> None:
    limited = settings.model_copy(update={"max_body_bytes": 2_000_000, "storage_max_bytes": 3_000_000})
    keys = write_keys(tmp_path / "keys", tester=API_KEY)
    async with run_service(limited, keys) as service, service.openai() as client:
        for size, code in [(2_000_001, "too_large"), (2_000_000, None), (1_000_001, "storage_full")]:
            if code is None:
                await upload(client, "a", b"x" * size)
                continue
            with pytest.raises(openai.APIStatusError) as refused:
                await upload(client, "a", b"x" * size)
            assert (refused.value.status_code, refused.value.code) == (413, code)
        [only] = [each async for each in client.files.list()]
        await client.files.delete(only.id)
        assert (await upload(client, "a", b"x" * 1_000_001)).bytes == 1_000_001
