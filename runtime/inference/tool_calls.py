"""Answers what suspended code asks of a tool. Called by `subcalls.py`, which answers everything else.

A call counts as one sub-call of the run, so code that calls without end is stopped; beyond a tool's own number of calls
per run it gets an error string. What was answered before a session was lost is not asked again.
"""

from __future__ import annotations

import time
from typing import Final

from runtime.inference.events import ToolCompleted, ToolStarted
from runtime.inference.journal import Attempt
from runtime.inference.run import Run
from runtime.inference.tools.client import ToolReply, build_failure
from runtime.inference.tools.declaration import HttpTool
from runtime.inference.tracing import fail
from runtime.wire import CellReply, HostCall

PREVIEW_CHARACTERS: Final = 200


async def answer_tool_call(run: Run, attempt: Attempt, tool: HttpTool, call: HostCall) -> CellReply:
    """Answer one suspended call and let the cell go on. Raises BudgetError when the run has no sub-call left."""
    ((key, answer),) = attempt.take(call.name, None, [call.payload])
    if answer is None:
        run.budget.take_subcalls(1)
        with run.session.waiting():
            answer = (await _call(run, tool, call.payload)).encoded.decode()
        attempt.answered(key, answer)
    return await run.session.resume(call, result=answer)


async def _call(run: Run, tool: HttpTool, payload: str) -> ToolReply:
    await run.attended.wait()
    started = time.monotonic()
    preview = payload[:PREVIEW_CHARACTERS]
    run.say(ToolStarted(**run.stamp(), iteration=run.budget.iterations, tool=tool.name, arguments_preview=preview))
    run.tool_calls[tool.name] += 1
    with run.tracing.tool(tool.name) as span:
        if run.tool_calls[tool.name] > tool.max_calls_per_run:
            reply = build_failure(f"{tool.name} may be called {tool.max_calls_per_run:,} times in a run")
        else:
            reply = await run.tools.call(tool, payload)
        if reply.error is not None:
            fail(span, "tool_failed" if reply.status is None else str(reply.status))
    seconds = time.monotonic() - started
    run.metrics.tool_ended(tool.name, seconds, ok=reply.error is None)
    run.audit.tool_call(run.narrator.run_id, tool.name, payload, reply.encoded, reply.error)
    run.say(
        ToolCompleted(
            **run.stamp(),
            iteration=run.budget.iterations,
            tool=tool.name,
            http_status=reply.status,
            response_bytes=len(reply.encoded),
            response_preview=reply.encoded.decode()[:PREVIEW_CHARACTERS],
            duration_s=seconds,
            error=reply.error,
        )
    )
    return reply
