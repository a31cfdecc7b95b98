"""Which addresses some names have now: a headless Service resolves to those of its pods.

`SandboxClient` asks before it places something new and whenever it looks at the pool, `peers/directory.py` before it
looks for a sibling; names are resolved again when the last answer is old, or at once when nobody fits.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from yarl import URL

INTERVAL: Final = 5.0  # seconds between two looks at the names
IMPATIENT_INTERVAL: Final = 0.5  # when no server could be reached
_TIMEOUT: Final = 3.0  # a name server that is away must not hold up anybody
_ABSENT: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Addresses of a host. Raises OSError, socket.gaierror with EAI_NONAME where it has none."""

log = logging.getLogger(__name__)


class Followers(Protocol):
    """Whoever wants to know."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Base addresses; the names in them are looked up."""

    def follow(self, url: str, addresses: list[str]) -> bool:
        """The name in `url` stands for these base addresses now; whether that is new."""


async def resolve_host(host: str, port: int) -> list[str]:
    """IPv4 addresses where there are any, else IPv6: a pod that has both is still one server."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = {family: [str(each[4][0]) for each in found if each[0] == family] for family, *_ in found}
    return list(dict.fromkeys(addresses.get(socket.AF_INET) or addresses.get(socket.AF_INET6) or []))


class Discovery:
    """Owned by who asks, whose list it keeps up to date. `what` names that in the log."""

    def __init__(
        self, what: str, followers: Followers, resolve: Resolve = resolve_host, interval: float = INTERVAL
    ) -> None:
        self._what = what
        self._followers = followers
        self._resolve = resolve
        self._interval = interval
        self._names = [url for url in followers.urls if _is_name(url)]
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def refresh(self, *, impatient: bool = False) -> None:
        """Look again if it is time; `impatient`: as soon as the name server can be asked again. Everybody who comes
        meanwhile waits for the same look."""
        if not self._names:
            return
        interval = min(IMPATIENT_INTERVAL, self._interval) if impatient else self._interval
        if impatient:
            await asyncio.sleep(self._looked_at + interval - time.monotonic())
        if self._looking is None:
            if time.monotonic() - self._looked_at < interval:
                return
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)
        await asyncio.shield(self._looking)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self) -> None:
        await asyncio.gather(*map(self._look_up, self._names))

    def _looked(self, looking: asyncio.Task[None]) -> None:
        self._looking = None
        self._looked_at = time.monotonic()
        if not looking.cancelled():
            looking.exception()

    async def _look_up(self, url: str) -> None:
        """A name without addresses stands for nobody. A name server that does not answer says nothing about that."""
        parsed = URL(url)
        try:
            async with asyncio.timeout(_TIMEOUT):
                addresses = await self._resolve(parsed.host or "", parsed.port or 80)
        except (OSError, UnicodeError) as error:  # TimeoutError too; a name that is none
            if not isinstance(error, socket.gaierror) or error.errno not in _ABSENT:
                details = {"of": self._what, "host": parsed.host, "problem": str(error)}
                log.warning("a name was not resolved", extra=details)
                return
            addresses = []
        if self._followers.follow(url, [str(parsed.with_host(address)).rstrip("/") for address in addresses]):
            log.info("addresses changed", extra={"of": self._what, "host": parsed.host, "addresses": addresses})


def _is_name(url: str) -> bool:
    try:
        ipaddress.ip_address(URL(url).host or "")
    except ValueError:
        return True
    return False
