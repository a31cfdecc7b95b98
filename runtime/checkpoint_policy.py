"""When a session is copied: a word of the protocol that session processes read too.

Apart from `runtime.wire`, so that they need not load pydantic: what a zygote holds, each of its forks pays for.
"""

from __future__ import annotations

from enum import StrEnum


class CheckpointPolicy(StrEnum):
    """When a session is copied, so that a bad cell can be rolled back."""

    CELL = "cell"  # after every cell
    IDLE = "idle"  # after ~20 ms of quiet, creation and PUT, and when 250 ms of cell time or a host call is uncovered
    OFF = "off"  # never: a bad cell ends the session
