"""HTTP to another replica of this service, always in the name of a caller; its failures become errors here.

`directory.py` owns one and says who the replicas are. A request that is made here carries the caller's own key, so that
the other replica decides what the caller may see, and a mark that it is not to be handed on again. The mark takes away
and never grants: whoever sets it on a request of their own is answered by the replica that they meet.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp import hdrs, web
from yarl import URL

from runtime.inference.errors import OwnerGoneError, OwnerUnreachableError
from runtime.inference.metrics import Metrics, PeerOutcome
from runtime.inference.tracing import outgoing_headers

FORWARDED: Final = "X-RLM-Forwarded"
CONNECT_TIMEOUT: Final = 3.0
SILENCE: Final = 60.0
"""Seconds without a byte: twice the pause before a plain reply begins with white space, six times that of a stream."""
MOST_CONNECTIONS: Final = 1024  # to one replica; each stream that is followed through this one takes one
KEEPALIVE: Final = 15.0  # seconds; shorter than any server's, so that no request meets a closing connection
_OWN_HEADERS: Final = ("Accept-Encoding", "Content-Type", "User-Agent")  # that aiohttp would add


class Purpose(StrEnum):
    """What a replica is asked for."""

    IDENTITY = "identity"
    FORWARD = "forward"  # a caller's request as a whole
    FILE = "file"  # for a question over it
    CONVERSATION = "conversation"  # a response that is continued
    LIST = "list"
    TWIN = "twin"  # whether it has the run that a request repeats


@dataclass(eq=False)
class Peer:
    """One replica, maybe this one. `found_by` is the base address whose name stands for it, for TLS and the Host
    header; None where that is `url` itself. `storage` is the token of what it keeps, once it said so."""

    url: str
    found_by: str | None = None
    storage: str | None = None
    is_silent: bool = False  # it did not answer when it was last asked
    asked_at: float = float("-inf")


def is_forwarded(request: web.Request) -> bool:
    return FORWARDED in request.headers


def asker_headers(request: web.Request) -> dict[str, str]:
    """For what is asked of another replica for the caller of this request."""
    key = request.headers.get(hdrs.AUTHORIZATION)
    return {FORWARDED: "1", **outgoing_headers(), **({hdrs.AUTHORIZATION: key} if key is not None else {})}


class PeerHttp:
    """Connections are pooled per replica. `tls` None: the system's authorities, for https:// addresses."""

    _session: aiohttp.ClientSession

    def __init__(self, metrics: Metrics, tls: ssl.SSLContext | None) -> None:
        self._metrics = metrics
        self._tls = tls

    async def while_serving(self, _: web.Application) -> AsyncIterator[None]:
        """A clean-up context of the application."""
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=MOST_CONNECTIONS, keepalive_timeout=KEEPALIVE, ssl=self._tls or True
        )
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, skip_auto_headers=_OWN_HEADERS
        ) as self._session:
            yield

    @asynccontextmanager
    async def request(
        self,
        peer: Peer,
        purpose: Purpose,
        method: str,
        target: str,
        headers: dict[str, str],
        *,
        body: bytes | bytearray | None = None,
        within: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The reply once its head is there; leaving early closes the connection, which is how the replica learns that
        the caller is gone. `within`: seconds for all of it.

        Raises OwnerGoneError where nothing listens any more, OwnerUnreachableError for all else."""
        name = None if peer.found_by is None else URL(peer.found_by)
        try:
            response = await self._session.request(
                method,
                URL(peer.url + target, encoded=True),
                data=body,
                headers=headers if name is None else {**headers, hdrs.HOST: name.authority},
                timeout=aiohttp.ClientTimeout(total=within, connect=CONNECT_TIMEOUT, sock_read=SILENCE),
                allow_redirects=False,
                server_hostname=None if name is None else name.host,
            )
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError too
            is_gone = isinstance(error, aiohttp.ClientConnectorError) and isinstance(
                error.os_error, ConnectionRefusedError
            )
            self._metrics.peer_asked(purpose, PeerOutcome.GONE if is_gone else PeerOutcome.UNREACHABLE)
            raise (OwnerGoneError if is_gone else OwnerUnreachableError)(_told(error)) from error
        self._metrics.peer_asked(purpose, PeerOutcome.ANSWERED)
        try:
            yield response
        finally:
            response.release()

    async def fetch(
        self, peer: Peer, purpose: Purpose, target: str, headers: dict[str, str], within: float
    ) -> bytes | None:
        """The body of a reply that is 200; None for 404. Raises as `request` does."""
        async with self.request(peer, purpose, "GET", target, headers, within=within) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            if response.status != HTTPStatus.OK:
                raise OwnerUnreachableError(
                    f"another replica of this service answered HTTP {response.status} when it was asked; try again"
                )
            return b"".join([chunk async for chunk in chunks(response)])


async def chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes. Raises OwnerUnreachableError where it ends before its end."""
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise OwnerUnreachableError(_told(error)) from error


def _told(error: Exception) -> str:
    """Without the address, which is nobody's business outside the cluster."""
    problem = type(error).__name__
    return f"another replica of this service, which has what was asked for, does not answer ({problem}); try again"
