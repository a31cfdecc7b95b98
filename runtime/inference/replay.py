"""Runs the cells of a run, and runs them again where a server lost the session: after a crash, a drain, an eviction.

The loop calls it for each cell and each final answer. A lost session is begun anew, on whichever server takes it, and
given its cells in order, with the answers that they were given; then what was under way goes on. A call that was never
answered is a new one, charged like any other. What does not go as it went is marked: the run has diverged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from runtime.inference.errors import (
    CopyLostError,
    SandboxRefusedError,
    SandboxUnavailableError,
    SandboxUnreachableError,
    SessionLostError,
)
from runtime.inference.events import LossReason, RunDiverged, SessionRecovered
from runtime.inference.journal import Attempt, CellRecord, has_effects
from runtime.inference.metrics import Recovery
from runtime.inference.run import Run
from runtime.inference.session import PARTIAL_EVENT
from runtime.inference.subcalls import answer_call
from runtime.wire import CellReply, ErrorCode, Status

MAX_LOSSES: Final = 3  # of one cell: it may be what ends the servers
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_LOST: Final = frozenset({ErrorCode.BUSY, ErrorCode.CALL_MISMATCH, ErrorCode.INTERNAL})
"""Refusals after which only a new session helps: something else runs in it, or its cell was given up meanwhile."""

ResultT = TypeVar("ResultT")


async def complete_cell(run: Run, code: str) -> tuple[CellReply, list[CellReply]]:
    """Run one cell to its end, answering the calls that suspend it. The reply of the whole cell, and those of which it
    is put together, one for each time that it ran on.

    Raises SandboxUnavailableError when the session cannot be had any more.
    """
    record = CellRecord(code)
    is_doubted = False

    async def attempt() -> tuple[CellReply, list[CellReply]]:
        nonlocal is_doubted
        parts = await _run(run, record)
        cell = _join(parts)
        if not is_doubted and _may_be_the_servers(cell):
            is_doubted = True
            record.reopen()
            raise SessionLostError(f"the session was lost when a cell ended as {cell.status}")
        return _settle(run, record, cell), parts

    return await _persist(run, attempt)


async def final_answer(run: Run, cell: CellReply) -> str | None:
    """The final answer, if this cell gave one."""
    return await _persist(run, lambda: run.session.final_answer(cell))


async def _persist(run: Run, do: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Do it in a session that has all cells, and again if that was lost meanwhile."""
    losses = 0
    while True:
        loss, started = run.session.loss, time.monotonic()
        if loss is not None:
            await _begin_again(run, started + run.recovery_seconds)
        before = run.recoveries.divergences
        try:
            await _catch_up(run)
            if loss is not None:
                _tell_recovery(run, loss, started)
            result = await do()
        except SandboxUnavailableError as error:
            losses += 1
            if not _is_loss(error) or losses > MAX_LOSSES:
                if loss is not None:
                    run.metrics.recoveries.labels(Recovery.FAILED).inc()
                raise
            run.session.loss = error
        else:
            if loss is not None:
                is_same = run.recoveries.divergences == before
                run.metrics.recoveries.labels(Recovery.RECOVERED if is_same else Recovery.DIVERGED).inc()
            return result


async def _begin_again(run: Run, deadline: float) -> None:
    """A new session without cells; a pool that has no server for it is asked until the deadline."""
    pause = _FIRST_PAUSE
    while True:
        try:
            await run.session.begin()
        except SandboxUnavailableError as error:
            if not _is_loss(error) or time.monotonic() + pause > deadline:
                run.metrics.recoveries.labels(Recovery.FAILED).inc()
                raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            run.session.loss = None
            return


async def _catch_up(run: Run) -> None:
    """Run the cells that the session lacks. One that ends from outside this time has no effects any more."""
    journal = run.session.journal
    while journal.applied < len(journal.cells):
        record = journal.cells[journal.applied]
        cell = (await _run(run, record))[-1]
        if cell.session_lost:
            raise SessionLostError(f"a cell that was run again ended the session ({cell.status})")
        if has_effects(cell):
            journal.keep(record, cell.cell)
        else:
            journal.drop_next()
            _go_back(run, cell)


async def _run(run: Run, record: CellRecord) -> list[CellReply]:
    session = run.session
    attempt = session.journal.running = Attempt(record, lambda: _diverge(run))
    parts: list[CellReply] = []
    try:
        part = await session.execute(record.code)
        while True:
            _check_state(run, part)
            attempt.note(part)
            parts.append(part)
            _note_partial(run, part)
            if part.call is None:
                attempt.end()
                return parts
            part = await answer_call(run, attempt, part.call)
    finally:
        attempt.stop()
        session.journal.running = None


def _may_be_the_servers(cell: CellReply) -> bool:
    """An end that a server can bring about as well as a cell: it runs once more, elsewhere if there is an elsewhere."""
    return cell.status is Status.INTERRUPTED or (cell.session_lost and cell.status is not Status.TIMEOUT)


def _settle(run: Run, record: CellRecord, cell: CellReply) -> CellReply:
    """What a new cell's end means for the session. For the model, one that took the session along was rolled back."""
    journal = run.session.journal
    if has_effects(cell):
        journal.keep(record, cell.cell)
        return cell
    if cell.session_lost:
        run.session.loss = SessionLostError(f"the session was lost when a cell ended as {cell.status}")
    else:
        _go_back(run, cell)
    return cell.model_copy(
        update={"session_lost": False, "rolled_back": True, "rolled_back_to": len(journal.cells) + journal.begun_at}
    )


def _go_back(run: Run, cell: CellReply) -> None:
    """A cell was rolled back, and maybe others before it. A state without the context is none."""
    journal = run.session.journal
    number = cell.rolled_back_to or 0
    if number < journal.begun_at:
        run.session.loss = SessionLostError("the session went back to before it had its context")
    journal.roll_back(number)


def _check_state(run: Run, part: CellReply) -> None:
    """A living cell says what was lost before it began: then it ran in a state that is none of the run's."""
    if (part.call is not None or has_effects(part)) and part.rolled_back:
        number = part.rolled_back_to or 0
        if number < run.session.journal.last_number:
            raise SessionLostError(f"the session went back to cell {number} before the cell began")


def _join(parts: list[CellReply]) -> CellReply:
    """Output and events are those of the whole cell."""
    return parts[-1].model_copy(
        update={
            "stdout": "".join(part.stdout for part in parts),
            "stderr": "".join(part.stderr for part in parts),
            "events": [event for part in parts for event in part.events],
        }
    )


def _note_partial(run: Run, reply: CellReply) -> None:
    """Keep what `answer["content"]` held last, for a run that a budget ends."""
    for event in reply.events:
        if event.name == PARTIAL_EVENT:
            run.partial_answer = event.payload


def _diverge(run: Run) -> None:
    run.recoveries.divergences += 1
    if run.recoveries.divergences == 1:
        run.metrics.diverged_runs.inc()
        run.say(RunDiverged(**run.stamp(), iteration=run.budget.iterations))


def _tell_recovery(run: Run, loss: SandboxUnavailableError, started: float) -> None:
    run.recoveries.count += 1
    run.say(
        SessionRecovered(
            **run.stamp(),
            iteration=run.budget.iterations,
            reason=_reason(loss),
            cells=len(run.session.journal.cells),
            duration_s=time.monotonic() - started,
        )
    )


def _reason(loss: SandboxUnavailableError) -> LossReason:
    match loss:
        case SessionLostError():
            return "session_lost"
        case SandboxUnreachableError():
            return "unreachable"
        case _:
            return "refused"


def _is_loss(error: SandboxUnavailableError) -> bool:
    match error:
        case SandboxRefusedError():
            return error.refusal in _LOST
        case _:
            return not isinstance(error, CopyLostError)
