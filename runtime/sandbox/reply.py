"""The reply to a cell, made of what the guest, its process and the server each know of it. Called by `session`."""

from __future__ import annotations

from runtime.sandbox.envelope import LARGEST_CHARACTER, GuestAnswer, GuestOutput
from runtime.sandbox.frames import Head
from runtime.sandbox.usage import Usage
from runtime.wire import CellError, CellReply, Event, Local, Status, Timing


def living_reply(session_id: str, cell: int, status: Status, head: Head, output: GuestOutput, cap: int) -> CellReply:
    """Of a process that lives on; raw output, cut at `cap` bytes, follows what went through sys.stdout."""
    stdout, out_cut = _joined(output.stdout, head.get("raw_stdout"), cap)
    stderr, err_cut = _joined(output.stderr, head.get("raw_stderr"), cap)
    ran = float(head.get("ran", 0.0))
    return CellReply(
        session_id=session_id,
        cell=cell,
        status=status,
        stdout=stdout,
        stderr=stderr,
        stdout_truncated=output.stdout_truncated or out_cut or bool(head.get("raw_stdout_truncated")),
        stderr_truncated=output.stderr_truncated or err_cut or bool(head.get("raw_stderr_truncated")),
        events=[Event(name=event.name, payload=event.payload) for event in output.events],
        execution_time=ran,
        cpu_time=float(head.get("cpu", 0.0)),
        memory_bytes=int(head.get("memory", 0)),
        timing=Timing(ran=ran, forked=float(head.get("forked", 0.0))),
    )


def with_answer(reply: CellReply, answer: GuestAnswer) -> CellReply:
    """`reply` with what only a cell that ended by itself has: its result, locals and exception."""
    reply.result = answer.result
    reply.locals = {name: Local(**local.model_dump(exclude_unset=True)) for name, local in answer.locals.items()}
    if answer.status == "error":
        error = answer.error
        reply.error = CellError(
            type=error.type if error else "Exception",
            message=error.message if error else "",
            line=error.line if error else None,
        )
    return reply


def rolled_back_reply(session_id: str, cell: int, status: Status, to: int, message: str, used: Usage) -> CellReply:
    """The process was killed or died and the state after cell `to` took its place."""
    return CellReply(
        session_id=session_id,
        cell=cell,
        status=status,
        execution_time=used.ran,
        cpu_time=used.cpu,
        memory_bytes=used.memory_bytes,
        timing=Timing(ran=used.ran),
        rolled_back=True,
        rolled_back_to=to,
        error=CellError(type=status.value, message=f"{message}; the state is as after cell {to}"),
    )


def lost_reply(
    session_id: str, cell: int, status: Status, message: str, used: Usage, *, session_lost: bool
) -> CellReply:
    """No process is left."""
    return CellReply(
        session_id=session_id,
        cell=cell,
        status=status,
        execution_time=used.ran,
        cpu_time=used.cpu,
        memory_bytes=used.memory_bytes,
        timing=Timing(ran=used.ran),
        session_lost=session_lost,
        error=CellError(type=status.value, message=message),
    )


def _joined(own: str, raw: object, cap: int) -> tuple[str, bool]:
    """Captured output and what was written past it, within `cap` bytes of UTF-8; whether something was cut."""
    text = own + raw if isinstance(raw, str) else own
    if len(text) * LARGEST_CHARACTER <= cap or len(text.encode()) <= cap:
        return text, False
    return text.encode()[:cap].decode("utf-8", "ignore"), True
