"""What zygote and session processes say to the server about themselves, checked before anything acts on it.

`channel` parses every head with it. A session process runs hostile code behind WebAssembly only, so the server must
survive whatever comes out of one: a head of another shape ends that process like one that broke the framing.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from runtime.sandbox.frames import Head, cut

MAX_HEAD: Final = 64 << 20  # raw output of two streams, escaped; its cap is the pool's own setting
MAX_SECONDS: Final = 1e9
MAX_NUMBER: Final = 1 << 53
MAX_PID: Final = 1 << 22  # of any Linux

Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MAX_NUMBER)]


class ForgedReportError(ValueError):
    """No process of ours says this."""


class _Report(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Ready(_Report):
    """The zygote can fork sessions; `missing` are the hardening measures that it cannot take."""

    t: Literal["ready"]
    missing: Annotated[list[str], Field(max_length=100)]


class _Failed(_Report):
    """The zygote's guest ended before it asked for a session: a preloaded module cannot be imported."""

    t: Literal["failed"]
    detail: Annotated[str, Field(max_length=300)]


class _Hello(_Report):
    """A session process waits for its first request; a branch for its next. `worker` runs the guest in its place."""

    t: Literal["hello"]
    memory: Count
    worker: Annotated[int, Field(gt=0, le=MAX_PID)] = 0


class _Promoted(_Report):
    """A checkpoint took the place of its head, which had begun the request `begun`."""

    t: Literal["promoted"]
    cell: Count
    epoch: Count
    begun: Count


class _Used(_Report):
    """What a cell has used until now."""

    ran: Seconds
    cpu: Seconds
    memory: Count


class _Died(_Used):
    """The guest's program ended, and its process with it."""

    t: Literal["died"]
    kind: Annotated[str, Field(max_length=20)]
    detail: Annotated[str, Field(max_length=300)]


class _Pause(_Used):
    """The cell stops for a reply: what it has written raw, too."""

    forked: Seconds
    raw_stdout: str = ""
    raw_stdout_truncated: bool = False
    raw_stderr: str = ""
    raw_stderr_truncated: bool = False


class _Call(_Pause):
    """The guest waits in a host call, which is the body."""

    t: Literal["call"]


class _Done(_Pause):
    """A request was done; the first `answer` bytes of the body are the guest's answer."""

    t: Literal["done"]
    answer: Count


_REPORT: Final[TypeAdapter[_Report]] = TypeAdapter(
    Annotated[_Ready | _Failed | _Hello | _Promoted | _Died | _Call | _Done, Field(discriminator="t")]
)


def parse_report(message: bytearray) -> tuple[Head, bytearray]:
    """(head, body) of a whole message, the head with exactly the fields that its kind has. ForgedReportError, which
    names the fields and none of their values."""
    head, body = cut(message)
    if len(head) > MAX_HEAD:
        raise ForgedReportError(f"a head of {len(head)} bytes")
    try:
        report = _REPORT.validate_json(head)
    except ValidationError as error:
        raise ForgedReportError(_described(error)) from None
    return report.model_dump(exclude_unset=True), body


def _described(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part)[:40] for part in first['loc'][:3]) or 'head'}: {first['type']}"
