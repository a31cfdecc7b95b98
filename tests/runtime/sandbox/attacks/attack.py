"""One attack from inside a cell and how it may end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtime.wire import Status

OK: Final = Status.OK
ERROR: Final = Status.ERROR
TIMEOUT: Final = Status.TIMEOUT
CRASHED: Final = Status.CRASHED


@dataclass(frozen=True)
class Attack:
    """`name` begins with the number of its group in the threat list; `code` is the cell.

    It must end with one of `statuses`; as `error` it must end with an exception of that type. Where several are listed
    the build decides: each of them is contained. `breaks_itself` attacks what runs the session's own later cells, so
    the session may be lost, if the reply says so.
    """

    name: str
    code: str
    statuses: tuple[Status, ...]
    error: str = ""
    locals: str = "summary"
    timeout: float = 0.8
    breaks_itself: bool = False
