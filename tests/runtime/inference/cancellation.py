"""What a run can be at when it is ended, and the ways to end it from outside: for the tests, and for the benchmark that
times the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from runtime.inference.events import RunStarted, TrajectoryEvent, parse_event
from tests.runtime.inference.asking import repl
from tests.runtime.inference.metrics_page import until_metrics
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.scripted_model import Hang, ScriptedModel
from tests.runtime.inference.service import Service

DEADLINE: Final = 3.0  # seconds that a run gets whose end is its deadline


@dataclass(frozen=True)
class Work:
    """A run that goes on without end: what the root model says, and how it shows that it is there."""

    code: str | None  # None: the root call itself hangs
    hanging: int = 0  # model calls
    states: dict[str, float] = field(default_factory=dict)  # of sandbox sessions

    def script(self, model: ScriptedModel) -> None:
        model.requests.clear()
        model.sub_rule = lambda _: Hang()
        model.child_rule = lambda _: Hang()
        model.enqueue(Hang() if self.code is None else repl(self.code))

    async def reached(self, service: Service, sandbox: SandboxProcess, model: ScriptedModel) -> None:
        """The prelude is a cell too; it is over when the model is asked."""
        await model.until(lambda scripted: bool(scripted.requests) and scripted.hanging == self.hanging)
        if self.states:
            await until_metrics(service, sandbox.url, **self.states)


WORKS: Final = {
    "a root call": Work(None, hanging=1),
    "a batch of sub-calls": Work(
        "llm_query_batched([str(i) for i in range(20)])", hanging=2
    ),  # half of the service's 4
    "a child run": Work("rlm_query('part')", hanging=1, states={"suspended": 1}),
    "a cell": Work("while True: pass", states={"running": 1}),
}


class Stream:
    """A streamed run: its reply, and its id once its first event has come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def started(self) -> str:
        event = await self.next_event()
        assert isinstance(event, RunStarted), event
        return event.run_id

    async def next_event(self) -> TrajectoryEvent:
        while True:
            line = await self._response.content.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                return parse_event(line[6:])

    def drop(self) -> None:
        self._response.close()


End = Callable[[Service, Stream, str], Coroutine[None, None, None]]
"""Ends a run, which it is given by stream and id, and returns when that has been asked for."""


async def drop_stream(service: Service, stream: Stream, run_id: str) -> None:
    stream.drop()


async def cancel(service: Service, stream: Stream, run_id: str) -> None:
    async with service.http.post(f"{service.url}/rlm/v1/runs/{run_id}/cancel") as response:
        assert response.status == 200, await response.text()


async def wait_for_deadline(service: Service, stream: Stream, run_id: str) -> None:
    while (await stream.next_event()).type != "run.failed":
        pass


ENDS: Final[dict[str, End]] = {"a dropped stream": drop_stream, "a cancel": cancel, "its deadline": wait_for_deadline}
STATUSES: Final = {"a dropped stream": "cancelled", "a cancel": "cancelled", "its deadline": "timeout"}


async def begin(service: Service, end: End) -> tuple[Stream, str]:
    """A streamed run, with a deadline where that is what ends it."""
    options: dict[str, Any] = {"timeout": DEADLINE} if end is wait_for_deadline else {}
    body = {"query": "How many?", "stream": True, "options": options}
    stream = Stream(await service.http.post(f"{service.url}/rlm/v1/runs", json=body))
    async with asyncio.timeout(60):
        return stream, await stream.started()
