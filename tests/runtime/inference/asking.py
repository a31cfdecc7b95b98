"""Asks one question through /rlm/v1/runs and reads the whole trajectory."""

from __future__ import annotations

import io
import json
from typing import Any

from runtime.inference.events import RunCompleted, RunFailed, TrajectoryEvent, parse_event
from tests.runtime.inference.scripted_model import QUESTION
from tests.runtime.inference.service import Service


def repl(code: str) -> str:
    return f"Let me see.\n```repl\n{code}\n```"


async def run(service: Service, **body: Any) -> list[TrajectoryEvent]:
    """Every event of one run."""
    asked = io.BytesIO(json.dumps({"query": QUESTION, "stream": True, **body}).encode())
    async with service.http.post(f"{service.url}/rlm/v1/runs", data=asked) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        stream = await response.read()
    events = [parse_event(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: ")]
    assert [event.seq for event in events] == list(range(len(events)))
    assert len({event.run_id for event in events}) == 1
    return events


async def answer(service: Service, **body: Any) -> str:
    last = (await run(service, **body))[-1]
    assert isinstance(last, RunCompleted), last
    return last.answer


async def failure(service: Service, **body: Any) -> RunFailed:
    last = (await run(service, **body))[-1]
    assert isinstance(last, RunFailed), last
    return last
