"""What the root model is shown of a cell that ran.

Pure text building; called by the loop. Output is cut to head and tail with its true length said, and stderr has a share
of its own, so that a long stdout cannot hide it. What code prints may be text of the context that pretends to be the
loop or the user: it stands between tags with a number that nobody in the session knows.
"""

from __future__ import annotations

from typing import Final

from runtime.wire import CellReply, Status

CELL_CHARACTERS: Final = 20_000
STDERR_CHARACTERS: Final = 4_000

_ENDED: Final = {
    Status.OK: "ran to its end",
    Status.ERROR: "raised an exception; what it had assigned before stays",
    Status.TIMEOUT: "ran longer than its time limit and was stopped",
    Status.MEMORY: "was stopped because it needed too much memory",
    Status.CRASHED: "crashed the interpreter",
    Status.INTERRUPTED: "was interrupted",
    Status.SUSPENDED: "is suspended",
}


def cap_text(text: str, limit: int) -> str:
    """At most about `limit` characters: head and tail, and between them how many are left out of how many."""
    if len(text) <= limit:
        return text
    head, tail = limit - limit // 4, limit // 4
    left_out = len(text) - head - tail
    return f"{text[:head]}\n[... {left_out:,} of {len(text):,} characters left out ...]\n{text[len(text) - tail :]}"


def cap_stderr(reply: CellReply) -> str:
    return cap_text(reply.stderr, STDERR_CHARACTERS)


def cap_stdout(reply: CellReply) -> str:
    """Everything that stderr leaves of the cell's share."""
    return cap_text(reply.stdout, CELL_CHARACTERS - min(len(reply.stderr), STDERR_CHARACTERS))


def describe_cell(number: int, reply: CellReply, mark: str) -> str:
    """One block's outcome for the root model; `number` counts the blocks of this turn from 1, `mark` is the run's."""
    outcome = f"Code block {number} {_ENDED[reply.status]}{_rollback_note(reply)} ({reply.execution_time:.2f} s)."
    parts = _describe_output(reply)
    if not parts:
        return f"{outcome}\nIt printed nothing."
    return "\n".join([outcome, f"<output {mark}>", *parts, f"</output {mark}>"])


def _describe_output(reply: CellReply) -> list[str]:
    parts: list[str] = []
    if reply.stdout:
        parts.append(f"stdout:\n{cap_stdout(reply)}{_cut_note(reply.stdout_truncated)}")
    if reply.result is not None:
        parts.append(f"value of the last expression:\n{cap_text(reply.result, STDERR_CHARACTERS)}")
    if reply.stderr:
        parts.append(f"stderr:\n{cap_stderr(reply)}{_cut_note(reply.stderr_truncated)}")
    if reply.error is not None:
        where = f" (line {reply.error.line})" if reply.error.line is not None else ""
        parts.append(f"error: {reply.error.type}: {cap_text(reply.error.message, STDERR_CHARACTERS)}{where}")
    return parts


def _rollback_note(reply: CellReply) -> str:
    return "; variables are as they were before it" if reply.rolled_back else ""


def _cut_note(truncated: bool) -> str:
    return "\n[the output was longer than the sandbox keeps; the rest is lost]" if truncated else ""
