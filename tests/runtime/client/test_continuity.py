"""Continuity: which replies of a sandbox say that a session lost what an earlier cell did."""

from __future__ import annotations

import pytest

from runtime.client.continuity import Continuity
from runtime.inference.errors import SessionLostError
from runtime.wire import CellReply, Status


def reply(cell: int, status: Status = Status.OK, back_to: int | None = None) -> CellReply:
    return CellReply(session_id="s", cell=cell, status=status, rolled_back=back_to is not None, rolled_back_to=back_to)


def test_killed_cell_that_took_back_only_itself_is_no_loss() -> None:
    continuity = Continuity()
    for said in (
        reply(1, Status.TIMEOUT, 0),
        reply(2),
        reply(3, Status.ERROR),
        reply(4, Status.MEMORY, 3),
        reply(5, Status.SUSPENDED),
        reply(5, Status.CRASHED, 3),
        reply(6, Status.OK, 3),  # its processes died while it was idle, and nothing was lost
    ):
        assert continuity.note(said) is said
    continuity.check()


@pytest.mark.parametrize("status", [Status.OK, Status.SUSPENDED, Status.TIMEOUT])
def test_session_that_went_back_further_is_lost_from_then_on(status: Status) -> None:
    continuity = Continuity()
    continuity.note(reply(1))
    continuity.note(reply(2))
    with pytest.raises(SessionLostError, match=r"after its cell 1 \(the last one was 2\)"):
        continuity.note(reply(3, status, 1))
    with pytest.raises(SessionLostError):
        continuity.check()
    with pytest.raises(SessionLostError):
        continuity.note(reply(4))
