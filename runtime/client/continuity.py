"""Whether a session still has all that its finished cells did.

`RemoteSession` tells one of these about every reply. A cell that is killed takes the session back to before it, which
is said to the caller; a session whose processes died may come back from an older state, and then it is lost.
"""

from __future__ import annotations

from runtime.inference.errors import SessionLostError
from runtime.wire import CellReply, Status


class Continuity:
    def __init__(self) -> None:
        self._finished = 0  # the last cell that ran to its end; 0: as created
        self._loss: str | None = None

    def check(self) -> None:
        """Raises SessionLostError once the session has lost something."""
        if self._loss is not None:
            raise SessionLostError(self._loss)

    def note(self, reply: CellReply) -> CellReply:
        """The reply itself, unless it says that the session lost what an earlier cell did: SessionLostError."""
        if reply.rolled_back and (reply.rolled_back_to or 0) < self._finished:
            self._loss = (
                f"the sandbox lost what the session did after its cell {reply.rolled_back_to or 0} (the last one was "
                f"{self._finished}); nothing can go on with that state: make a new session"
            )
        self.check()
        if reply.status in {Status.OK, Status.ERROR}:
            self._finished = reply.cell
        return reply
