"""Request bodies as a client may send them: compressed, in unknown encodings, as bombs, of very many JSON values."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import aiohttp
import openai
import pytest
from pydantic import ValidationError

from runtime.inference.asking import MAX_VALUES
from runtime.inference.chat_request import ChatRequest
from runtime.inference.encodings import LEAST_COMPRESSED
from runtime.inference.errors import InvalidRequestError, TooLargeError
from runtime.inference.question import JsonContext, TextContext
from runtime.inference.runs_request import RunRequest
from runtime.inference.settings import DEFAULT_MAX_BODY_BYTES
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service

LONG_PART = "line\n" * 50_000
LONG_ANSWER = "```repl\nFINAL('word ' * 20_000)\n```"


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A request that unpacks to a thousand times its size, twice what is read."""
    return gzip.compress(b'{"query":"' + bytes(2 * DEFAULT_MAX_BODY_BYTES), compresslevel=4)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP"])
async def test_compressed_request_is_read(service: Service, model: ScriptedModel, encoding: str) -> None:
    model.enqueue("```repl\nFINAL(len(context))\n```")
    body = json.dumps({"query": "q", "context": LONG_PART}).encode()
    packed = zlib.compress(body) if encoding == "deflate" else gzip.compress(body)
    headers = {"Content-Encoding": encoding}
    async with service.http.post(f"{service.url}/rlm/v1/runs", data=packed, headers=headers) as response:
        assert (await response.json())["answer"] == str(len(LONG_PART))


@pytest.mark.parametrize("encoding", ["compress", "gzip, gzip", "rot13", "br", "zstd"])
async def test_unknown_encoding_is_415_and_names_the_known_ones(service: Service, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    async with service.http.post(f"{service.url}/rlm/v1/runs", data=b"{}", headers=headers) as response:
        assert response.status == 415
        assert response.headers["Accept-Encoding"] == "deflate, gzip"
        assert (await response.json())["error"]["code"] == "unsupported_encoding"


async def test_body_that_is_not_what_its_encoding_says_is_400(service: Service) -> None:
    headers = {"Content-Encoding": "gzip"}
    async with service.http.post(f"{service.url}/rlm/v1/runs", data=b'{"query": "q"}', headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "malformed_request"


@pytest.mark.parametrize("path", ["/rlm/v1/runs", "/v1/chat/completions", "/v1/files"])
async def test_bomb_is_413_and_its_rest_is_not_unpacked(service: Service, bomb: bytes, path: str) -> None:
    headers = {"Content-Encoding": "gzip"}
    if path == "/v1/files":
        part = b'--B\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        bomb, headers = gzip.compress(part) + bomb, {**headers, "Content-Type": "multipart/form-data; boundary=B"}
    async with service.http.post(service.url + path, data=bomb, headers=headers) as response:
        assert (response.status, response.headers["Connection"]) == (413, "close")
        message = (await response.json())["error"]["message"]
    unpacked = int(message.split(" bytes")[0].rsplit(" ", 1)[-1].replace(",", ""))
    assert unpacked < DEFAULT_MAX_BODY_BYTES + 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip, deflate", True), ("br;q=1, *", True), ("identity", False), ("gzip;q=0", False), ("", False)],
)
async def test_large_json_reply_is_packed_where_the_client_takes_it(
    service: Service, model: ScriptedModel, accepted: str, packed: bool
) -> None:
    model.enqueue(LONG_ANSWER)
    headers = {"Accept-Encoding": accepted, "Authorization": f"Bearer {API_KEY}"}
    async with (
        aiohttp.ClientSession(auto_decompress=False, headers=headers) as http,
        http.post(f"{service.url}/rlm/v1/runs", json={"query": "q"}) as response,
    ):
        raw = await response.read()
        assert response.headers.get("Content-Encoding") == ("gzip" if packed else None)
        assert response.headers["Vary"] == "Accept-Encoding"
    body = gzip.decompress(raw) if packed else raw
    assert len(body) > LEAST_COMPRESSED
    assert json.loads(body)["answer"] == "word " * 20_000


async def test_streams_and_small_replies_are_not_packed(service: Service, model: ScriptedModel) -> None:
    model.enqueue(LONG_ANSWER)
    headers = {"Accept-Encoding": "gzip"}
    body = {"query": "q", "stream": True}
    async with service.http.post(f"{service.url}/rlm/v1/runs", json=body, headers=headers) as stream:
        assert "Content-Encoding" not in stream.headers
        await stream.read()
    async with service.http.get(f"{service.url}/v1/models", headers=headers) as small:
        assert "Content-Encoding" not in small.headers


async def test_sdk_reads_packed_replies(service: Service, model: ScriptedModel) -> None:
    model.enqueue(LONG_ANSWER)
    messages: Any = [{"role": "user", "content": "How many?"}]
    async with service.openai() as client:
        raw = await client.chat.completions.with_raw_response.create(model=SERVED_MODEL, messages=messages)
    assert raw.headers["content-encoding"] == "gzip"
    assert raw.parse().choices[0].message.content == "word " * 20_000


def test_context_of_many_values_stays_the_text_that_was_sent() -> None:
    context = b"[" + b"1, " * MAX_VALUES + b'"gr\xc3\xbcn"]'
    asked = RunRequest.read(b'{"query": "q", "options": {"max_iterations": 2}, "context":' + context + b"}")
    assert asked.question({}).context == TextContext(context.decode())
    assert (asked.query, asked.options.max_iterations) == ("q", 2)


def test_context_of_fewer_values_is_parsed_whatever_its_size() -> None:
    context = ["a, [b" * 500_000, {"c": 1}]
    found = RunRequest.read(json.dumps({"query": "q", "context": context}).encode()).question({}).context
    assert isinstance(found, JsonContext)
    assert json.loads(found.encoded) == context


@pytest.mark.parametrize(
    ("head", "tail", "problem"),
    [
        (b'{"query": "q", "contxt": 1, "context": ', b"}", "contxt"),
        (b'{"query": "q", "documents": [{"path": "a", "text": "b"}], "context": ', b"}", "not several"),
        (b'{"query": "q", "context": ', b"", "cannot be read"),
        (b'{"query": "q", "context": ', b"]}", "cannot be read"),
        (b'{"query": "", "context": ', b"}", "query"),
    ],
)
def test_wrong_request_with_a_context_of_many_values_is_refused_for_what_is_wrong(
    head: bytes, tail: bytes, problem: str
) -> None:
    with pytest.raises((InvalidRequestError, ValidationError), match=problem):
        RunRequest.read(head + b"[" + b"[]," * MAX_VALUES + b"1]" + tail)


def test_context_that_is_no_utf8_or_nested_without_end_is_refused() -> None:
    many = b"[]," * MAX_VALUES
    for context in (b"[" + many + b'"\xff"]', b"[" * MAX_VALUES + many + b"1" + b"]" * MAX_VALUES):
        with pytest.raises(InvalidRequestError):
            RunRequest.read(b'{"query": "q", "context": ' + context + b"}")


@pytest.mark.parametrize("model", [ChatRequest, RunRequest])
def test_very_many_values_elsewhere_are_refused_before_they_are_parsed(
    model: type[ChatRequest] | type[RunRequest],
) -> None:
    body = b'{"documents": [' + b"[]," * MAX_VALUES + b"1]}"
    with pytest.raises(TooLargeError, match="as text"):
        model.read(body)


async def test_sdk_gets_the_refusal_of_too_many_values(service: Service) -> None:
    messages: Any = [{"role": "user", "content": "How many?"}]
    async with service.openai(max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(
                model=SERVED_MODEL, messages=messages, extra_body={"metadata": [[]] * (MAX_VALUES + 1)}
            )
    assert (refused.value.status_code, refused.value.code) == (413, "too_large")
