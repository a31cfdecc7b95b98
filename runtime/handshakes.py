"""TLS of the connections that one port accepts, before the application hears of them.

Called by `web` for a port with TLS. asyncio's own way (`create_server` with a context) keeps no account of handshakes:
whoever opens connections and says nothing would fill the memory, at 0.3 MB each, and nobody learns why a client was
refused. So connections are accepted plain and taken into TLS here.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Final

HANDSHAKE_SECONDS: Final = 10.0
SHUTDOWN_SECONDS: Final = 2.0  # for a client to confirm the end of its connection

log = logging.getLogger(__name__)


class Handshakes:
    """At most `most` at once: for each new one beyond, the oldest is dropped."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        accept: Callable[[], asyncio.Protocol],
        most: int,
        seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        """`accept` makes the protocol of a connection whose handshake has succeeded, within `seconds`."""
        self._tls = tls
        self._accept = accept
        self._most = most
        self._seconds = seconds
        self._pending: dict[asyncio.Transport, asyncio.Task[None]] = {}

    def protocol(self) -> asyncio.Protocol:
        """For a connection that was accepted now."""
        return _Greeting(self._begin)

    def close(self) -> None:
        for transport in self._pending:
            transport.abort()

    def _begin(self, transport: asyncio.Transport, greeting: _Greeting) -> None:
        if len(self._pending) >= self._most:
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            oldest.abort()
        self._pending[transport] = asyncio.get_running_loop().create_task(self._shake(transport, greeting))

    async def _shake(self, transport: asyncio.Transport, greeting: _Greeting) -> None:
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                greeting,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except OSError as error:  # ssl.SSLError is one
            client = str(transport.get_extra_info("peername"))
            level = logging.INFO if isinstance(error, ssl.SSLError) else logging.DEBUG  # who just leaves is a probe
            log.log(
                level, "TLS handshake failed", extra={"client": client, "error": str(error) or type(error).__name__}
            )
            return
        finally:
            self._pending.pop(transport, None)
        if secured is not None:
            greeting.hand_over(secured, self._accept)


class _Greeting(asyncio.Protocol):
    """Holds a connection until its handshake is done. A client may send its request along with the last of it."""

    def __init__(self, begin: Callable[[asyncio.Transport, _Greeting], None]) -> None:
        self._begin = begin
        self._early = bytearray()
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a socket's
        transport.pause_reading()  # its first bytes are for TLS
        self._begin(transport, self)

    def data_received(self, data: bytes) -> None:
        self._early += data

    def connection_lost(self, _: Exception | None) -> None:
        self._is_over = True

    def hand_over(self, secured: asyncio.Transport, accept: Callable[[], asyncio.Protocol]) -> None:
        if self._is_over:
            return
        protocol = accept()
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
        if self._early:
            protocol.data_received(bytes(self._early))
