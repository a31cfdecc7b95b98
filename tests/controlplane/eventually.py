"""Waiting for a condition, with a deadline: what tests do instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

POLL_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 60.0


def eventually(probe: Callable[[], T], what: str, timeout: float = TIMEOUT_SECONDS) -> T:
    """The first truthy value of `probe`. Raises AssertionError with the last value after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout:.0f} s; last seen: {value!r}")
        time.sleep(POLL_SECONDS)
