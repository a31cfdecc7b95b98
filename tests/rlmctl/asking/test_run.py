"""`rlmctl ask` against a service that gives up on the run, or on the connection."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from rlmctl.ask import Outcome, ask
from rlmctl.asking.client import Endpoint
from rlmctl.asking.corpus import Corpus
from rlmctl.errors import EndpointError, RunFailedError
from runtime.inference.events import RunError, RunFailed, frame_event


@asynccontextmanager
async def service(reply: bytes) -> AsyncIterator[Callable[[], Awaitable[Outcome]]]:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=reply)

    app = web.Application()
    app.router.add_post("/rlm/v1/runs", handler)
    async with TestServer(app) as server:

        async def run() -> Outcome:
            endpoint = Endpoint(f"http://127.0.0.1:{server.port}", None)
            return await ask(endpoint, "why?", Corpus(), Console(file=io.StringIO()), None)

        yield run


def failed(partial: str | None) -> bytes:
    error = RunError(code="max_subcalls", message="1000 sub-calls are used up")
    return frame_event(RunFailed(run_id="r", seq=0, at=0.0, error=error, partial_answer=partial))


async def test_failed_run_says_why() -> None:
    async with service(failed(None)) as run:
        with pytest.raises(RunFailedError) as error:
            await run()
    assert str(error.value) == "the run ended without an answer: 1000 sub-calls are used up (max_subcalls)"
    assert error.value.exit_status == 1


async def test_failed_run_gives_what_it_had_so_far() -> None:
    async with service(failed("half of it")) as run:
        with pytest.raises(RunFailedError, match=r"(?s)\(max_subcalls\)\nWhat its code had so far:\nhalf of it$"):
            await run()


async def test_stream_that_ends_before_the_run_is_an_error() -> None:
    async with service(b": ping\n\n") as run:
        with pytest.raises(EndpointError, match="ended the stream before the run's end"):
            await run()
