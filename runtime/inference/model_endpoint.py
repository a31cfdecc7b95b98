"""One OpenAI-compatible address, through the openai SDK: its pooled connections, its key, its retries.

Owned by `Models`. The SDK's own ways of asking look at every field by its type and put each request together from its
parts, which is most of what a small call costs; here what all requests to an address have in common is made once.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx2
import openai
from openai._models import FinalRequestOptions  # what `post` makes for each call, made once
from openai._utils import is_given
from openai._utils._json import openapi_dumps
from yarl import URL

from runtime.inference.eager_http import EagerHttpClient
from runtime.inference.model_settings import EndpointOptions
from runtime.inference.prompts import Message

MAX_RETRIES: Final = 3
CALL_TIMEOUT: Final = 600.0  # seconds without a byte; the run's deadline is usually nearer
REDACTED: Final = "[the endpoint's key]"
_SECRET_CHARACTERS: Final = 8  # shorter keys are words that a text may well have
_CONNECT_TIMEOUT: Final = 10.0
_OF_ONE_REQUEST: Final = frozenset({"content-length", "cookie"})
_TIMEOUT: Final = openai.Timeout(CALL_TIMEOUT, connect=_CONNECT_TIMEOUT)


class ModelSettingError(Exception):
    """The file of authorities is wrong; the message says which and why."""


@dataclass(frozen=True)
class _Pattern:
    """What requests with the same authorization have in common."""

    authorization: str | openai.Omit
    url: httpx2.URL
    headers: httpx2.Headers
    extensions: dict[str, Any]


class _Client(openai.AsyncOpenAI):
    """The SDK's, but for what it says of this machine and for how requests come into being."""

    _pattern: _Pattern | None = None

    def platform_headers(self) -> dict[str, str]:
        """Nothing of this machine: its system and versions are nobody's business, and each header costs time."""
        return {}

    def _build_request(self, options: FinalRequestOptions, *, retries_taken: int = 0) -> httpx2.Request:
        """Whole by the SDK for the first call with a key and for all retries. Other calls differ from that first one in
        their body and their cookies alone."""
        authorization = _authorization(options)
        pattern = self._pattern
        if not retries_taken and pattern is not None and pattern.authorization == authorization:
            return httpx2.Request(
                options.method,
                pattern.url,
                headers=pattern.headers,
                cookies=self._client.cookies,
                content=openapi_dumps(options.json_data),
                extensions=pattern.extensions,
            )
        request = super()._build_request(options, retries_taken=retries_taken)
        if not retries_taken:
            headers = httpx2.Headers([item for item in request.headers.multi_items() if item[0] not in _OF_ONE_REQUEST])
            self._pattern = _Pattern(authorization, request.url, headers, request.extensions)
        return request


def _authorization(options: FinalRequestOptions) -> str | openai.Omit:
    """Given by `Endpoint`, or put in by the SDK when it has read the key."""
    assert is_given(options.headers)  # noqa: S101  # one of these did
    return options.headers["Authorization"]


class Endpoint:
    """One OpenAI-compatible address with its pooled connections and its key. Raises ModelSettingError."""

    def __init__(self, base_url: str, key_file: Path | None, options: EndpointOptions) -> None:
        self.base_url = base_url
        self._options = options
        address, credentials = _split_credentials(base_url)
        self._client = _Client(
            base_url=address,
            api_key=_key_reader(key_file) if key_file else "no key is sent",
            max_retries=MAX_RETRIES,
            timeout=_TIMEOUT,
            default_headers=dict(options.extra_headers),
            default_query=dict(options.extra_query),
            http_client=EagerHttpClient(follow_redirects=False, proxy=options.proxy, verify=_trusted(options.ca_file)),
        )
        self._request = FinalRequestOptions.construct(
            method="post",
            url=f"{self._client.base_url}chat/completions",
            headers=credentials or ({} if key_file else {"Authorization": openai.Omit()}),
            security={"bearer_auth": True},
        )

    async def complete(self, model: str, messages: Sequence[Message]) -> object:
        """The reply's JSON, whatever it is. By the SDK's general request (its retries, pool and key), as
        `chat.completions.create` first looks at every field of every message by its type (0.15 ms each, of a long run
        five sixths of the CPU time) and makes objects of all fields of the reply."""
        body = {**self._options.extra_body, "model": model, "messages": messages}
        reply = await self._client.request(httpx2.Response, self._request.model_copy(update={"json_data": body}))
        try:
            return reply.json()
        except (ValueError, RecursionError) as error:
            raise openai.OpenAIError("the reply is no JSON that can be read") from error

    def redact(self, text: str) -> str:
        """An endpoint may say anything, also the key that it was sent (a gateway that echoes requests does). That would
        come into code, answers and stored trajectories."""
        key = self._client.api_key
        return text.replace(key, REDACTED) if len(key) >= _SECRET_CHARACTERS else text

    async def close(self) -> None:
        await self._client.close()


def _trusted(ca_file: Path | None) -> ssl.SSLContext | Literal[True]:
    """The authorities of the file alone, read once at start; True: those of the system."""
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ModelSettingError(f"{ca_file} holds no certificates in PEM form: {error}") from error


def _split_credentials(base_url: str) -> tuple[str, dict[str, str | openai.Omit]]:
    """The address without a name and password in it, and the header that they stand for; they go before a key."""
    url = URL(base_url)
    if url.user is None:
        return base_url, {}
    encoded = b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
    return str(url.with_user(None)), {"Authorization": f"Basic {encoded}"}


def _key_reader(key_file: Path) -> Callable[[], Awaitable[str]]:
    """Looked at with every call, so that a rotated key is used at once; read when the file is another one."""
    stamp, key = (0, 0, 0), ""

    async def read() -> str:
        nonlocal stamp, key
        try:
            stat = key_file.stat()  # noqa: ASYNC240  # microseconds: a Secret's file is in memory
            if stamp != (found := (stat.st_ino, stat.st_mtime_ns, stat.st_size)):
                stamp, key = found, (await asyncio.to_thread(key_file.read_text, encoding="utf-8")).strip()
        except OSError as error:
            raise openai.OpenAIError(f"cannot read the model's key file {key_file}: {error.strerror}") from error
        return key

    return read
