"""Sends a question to an endpoint and reads the run's events: POST /rlm/v1/runs, streamed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from pydantic import ValidationError

from rlmctl.errors import EndpointError
from runtime.inference.events import TrajectoryEvent, parse_event

_SLICE: Final = 256 * 1024
_SILENCE_SECONDS: Final = 60.0
"""The service says something every ten seconds; silence for longer means that it is gone."""


@dataclass(frozen=True)
class Endpoint:
    """`url` is bare, or ends in /v1 as the OpenAI SDK wants it; `api_key` None sends none."""

    url: str
    api_key: str | None

    @property
    def runs_url(self) -> str:
        return f"{self.url.rstrip('/').removesuffix('/v1')}/rlm/v1/runs"


async def stream_run(endpoint: Endpoint, body: bytes, on_sent: Callable[[int], None]) -> AsyncIterator[TrajectoryEvent]:
    """The run's events up to its last. `on_sent` gets the size of each part of the body as it leaves.

    Raises EndpointError when the service is not there, refuses, or goes away in the middle.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                endpoint.runs_url,
                data=_slices(body, on_sent),
                headers=_headers(endpoint, len(body)),
                allow_redirects=False,  # a key is sent to the endpoint that was named, nowhere else
            ) as response,
        ):
            if response.status != 200:
                raise EndpointError(_refusal(endpoint, response.status, await response.text()))
            async for data in read_events(response.content.iter_any()):
                yield parse_event(data)
    except aiohttp.ClientConnectorError as error:
        raise EndpointError(f"nothing answers at {endpoint.url} ({error.os_error.strerror}): is it running?") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise EndpointError(f"the connection to {endpoint.url} was lost: {type(error).__name__} {error}") from error
    except ValidationError as error:
        raise EndpointError(f"{endpoint.url} sent an event that is none of a run's: {error}") from error


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The `data:` of each server-sent event; comments (heartbeats) are passed over. An event may be of any size."""
    buffer = bytearray()
    searched = 0
    async for chunk in chunks:
        buffer += chunk
        while (end := buffer.find(b"\n\n", searched)) >= 0:
            block = bytes(buffer[:end])
            del buffer[: end + 2]
            searched = 0
            data = b"\n".join(line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:"))
            if data:
                yield data
        searched = max(0, len(buffer) - 1)


async def _slices(body: bytes, on_sent: Callable[[int], None]) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _SLICE):
        piece = body[start : start + _SLICE]
        yield piece
        on_sent(len(piece))


def _headers(endpoint: Endpoint, length: int) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Content-Length": str(length), "Accept": "text/event-stream"}
    return headers | ({"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {})


def _refusal(endpoint: Endpoint, status: int, text: str) -> str:
    """The service's own words where it has some."""
    try:
        detail = json.loads(text)["error"]
        words = f"{detail['message']} ({detail['code']})"
    except (ValueError, KeyError, TypeError):
        words = text[:500] or "no reason given"
    return f"{endpoint.url} answered {status}: {words}"
