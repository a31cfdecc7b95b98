"""Which addresses the pool's names have now: a headless Service resolves to those of its ready pods.

`SandboxClient` asks before it places something new and whenever it looks at the pool; names are resolved again when
the last answer is old, or at once when no server could be reached.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final

from yarl import URL

from runtime.inference.sandbox_servers import Servers

INTERVAL: Final = 5.0  # seconds between two looks at the names
IMPATIENT_INTERVAL: Final = 0.5  # when no server could be reached
_TIMEOUT: Final = 3.0  # a name server that is away must not hold up runs
_ABSENT: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Addresses of a host. Raises OSError, socket.gaierror with EAI_NONAME where it has none."""

log = logging.getLogger(__name__)


async def resolve_host(host: str, port: int) -> list[str]:
    """IPv4 addresses where there are any, else IPv6: a pod that has both is still one server."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = {family: [str(each[4][0]) for each in found if each[0] == family] for family, *_ in found}
    return list(dict.fromkeys(addresses.get(socket.AF_INET) or addresses.get(socket.AF_INET6) or []))


class Discovery:
    """Owned by the client, whose `Servers` it keeps up to date."""

    def __init__(self, servers: Servers, resolve: Resolve = resolve_host, interval: float = INTERVAL) -> None:
        self._servers = servers
        self._resolve = resolve
        self._interval = interval
        self._names = [url for url in servers.urls if _is_name(url)]
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
        """A name without addresses has no server. A name server that does not answer says nothing about servers."""
        parsed = URL(url)
        try:
            async with asyncio.timeout(_TIMEOUT):
                addresses = await self._resolve(parsed.host or "", parsed.port or 80)
        except (OSError, UnicodeError) as error:  # TimeoutError too; a name that is none
            if not isinstance(error, socket.gaierror) or error.errno not in _ABSENT:
                log.warning("the sandbox's name was not resolved", extra={"host": parsed.host, "problem": str(error)})
                return
            addresses = []
        if self._servers.follow(url, [str(parsed.with_host(address)).rstrip("/") for address in addresses]):
            log.info("sandbox servers changed", extra={"host": parsed.host, "addresses": addresses})


def _is_name(url: str) -> bool:
    try:
        ipaddress.ip_address(URL(url).host or "")
    except ValueError:
        return True
    return False
