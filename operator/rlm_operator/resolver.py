"""Looks names up in DNS: where a name of a spec leads, so that no name hides the metadata service or a node.

Called by `surroundings.py`. Answers are kept for minutes, failures shorter; every look-up is bounded, and several for
one name at once are one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from rlm_operator.endpoint import IPAddress, parse_address

_TIMEOUT_SECONDS: Final = 3.0
_FOUND_SECONDS: Final = 300.0
_NOT_FOUND_SECONDS: Final = 60.0
_MOST_NAMES: Final = 10_000
_THREADS: Final = 8

_log = logging.getLogger(__name__)

Lookup = Callable[[str], tuple[IPAddress, ...]]


@dataclass(frozen=True)
class _Answer:
    addresses: tuple[IPAddress, ...]
    until: float


class Resolver:
    """`lookup` raises OSError for a name that does not resolve."""

    def __init__(self, lookup: Lookup | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup or look_up
        self._clock = clock
        self._answers: dict[str, _Answer] = {}
        self._running: dict[str, asyncio.Future[tuple[IPAddress, ...]]] = {}
        # Threads of its own: a look-up can not be interrupted, and must not hold up anything else.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver")

    async def resolve(self, host: str) -> tuple[IPAddress, ...]:
        """Sorted; empty when the name does not resolve, or not in time."""
        known = self._answers.get(host)
        if known is not None and known.until > self._clock():
            return known.addresses
        running = self._running.get(host)
        if running is None:
            running = asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host)
            self._running[host] = running
            running.add_done_callback(lambda _: self._running.pop(host, None))
        addresses: tuple[IPAddress, ...] = ()
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                addresses = await asyncio.shield(running)
        except (OSError, UnicodeError) as error:  # a time-out is an OSError too
            _log.info("%s does not resolve: %s", host, error or "no answer in time")
        self._remember(host, addresses)
        return addresses

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _remember(self, host: str, addresses: tuple[IPAddress, ...]) -> None:
        now = self._clock()
        if len(self._answers) >= _MOST_NAMES:
            self._answers = {name: answer for name, answer in self._answers.items() if answer.until > now}
        self._answers[host] = _Answer(addresses, now + (_FOUND_SECONDS if addresses else _NOT_FOUND_SECONDS))


def look_up(host: str) -> tuple[IPAddress, ...]:
    """As a pod of any namespace would: names of this many labels mean the same in each of their search paths."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = {parse_address(str(entry[4][0])) for entry in found}
    return tuple(sorted((address for address in addresses if address is not None), key=lambda a: (a.version, int(a))))
