"""Which replicas of this service there are, and which of them keeps what.

Every id names the storage that it was made in by a random token (`storage.py`). A replica is asked for its token the
first time that it is met, and all are asked again when a token is not known: a replica that was started anew has
another one, so what it had is known to be lost. Nothing about the cluster is in an id, and a token opens nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ValidationError

from runtime.inference.discovery import INTERVAL, Discovery, Resolve, resolve_host
from runtime.inference.errors import OwnerGoneError, OwnerUnreachableError
from runtime.inference.metrics import Metrics
from runtime.inference.peers.peer_http import Peer, PeerHttp, Purpose, asker_headers
from runtime.inference.sandbox_servers import split_urls
from runtime.inference.settings import InferenceSettings
from runtime.tls import TlsFolder
from runtime.tls_files import Side

IDENTITY_PATH: Final = "/rlm/v1/peer"
_ASK_TIMEOUT: Final = 3.0
_ASK_INTERVAL: Final = 0.5  # seconds between two looks for tokens that nobody knows, however many are asked for


class Identity(BaseModel):
    """What a replica says of itself to the others."""

    storage: str


@dataclass(frozen=True)
class Siblings:
    """One replica for each storage but this one's own; `missing` are those that do not say which is theirs."""

    peers: list[Peer]
    missing: int


class Directory:
    """Owned by the application. `urls`: base addresses, comma-separated; empty: there are no others."""

    def __init__(
        self,
        urls: str,
        storage: str,
        http: PeerHttp,
        resolve: Resolve = resolve_host,
        interval: float = INTERVAL,
    ) -> None:
        self.urls = tuple(dict.fromkeys(split_urls(urls)))
        self.storage = storage
        self.http = http
        self._found: dict[str, tuple[Peer, ...]] = {url: (Peer(url),) for url in self.urls}
        self._discovery = Discovery("replicas", self, resolve, interval)
        self._asking: asyncio.Task[None] | None = None

    async def while_serving(self, _: web.Application) -> AsyncIterator[None]:
        """A clean-up context of the application."""
        yield
        await self._discovery.close()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def follow(self, url: str, addresses: list[str]) -> bool:
        """For `Discovery`: a name without addresses stands for nobody."""
        known = {peer.url: peer for peer in self._found[url]}
        if known.keys() == set(addresses):
            return False
        self._found[url] = tuple(known.get(address) or Peer(address, url) for address in dict.fromkeys(addresses))
        return True

    def count(self) -> int:
        """Other replicas that said which storage is theirs."""
        return len(self._others())

    def is_elsewhere(self, storage: str | None) -> bool:
        """Whether it is worth looking for; None: of an id that is none."""
        return bool(self.urls) and storage is not None and storage != self.storage

    async def owner(self, storage: str, request: web.Request) -> Peer | None:
        """The replica that keeps this storage; None when there is none.

        Raises OwnerUnreachableError when one that does not answer may be it."""
        if (peer := self._holding(storage)) is not None:
            return peer
        await self._discovery.refresh(impatient=True)
        await self._ask(self._all, request)
        if (peer := self._holding(storage)) is None and any(peer.is_silent for peer in self._all):
            raise OwnerUnreachableError("a replica of this service, which may have it, does not answer; try again")
        return peer

    async def siblings(self, request: web.Request) -> Siblings:
        await self._discovery.refresh()
        horizon = time.monotonic() - _ASK_INTERVAL
        unknown = [peer for peer in self._all if peer.storage is None]
        if any(peer.asked_at < horizon for peer in unknown):
            await self._ask(unknown, request)
        return Siblings(self._others(), sum(peer.is_silent for peer in self._all if peer.storage is None))

    @property
    def _all(self) -> list[Peer]:
        return [peer for found in self._found.values() for peer in found]

    def _others(self) -> list[Peer]:
        by_storage = {peer.storage: peer for peer in self._all if peer.storage not in {None, self.storage}}
        return list(by_storage.values())

    def _holding(self, storage: str) -> Peer | None:
        return next((peer for peer in self._all if peer.storage == storage), None)

    async def _ask(self, peers: list[Peer], request: web.Request) -> None:
        """Everybody who comes meanwhile waits for the same answers, which are the same for all callers."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_each(peers, asker_headers(request)))
            self._asking.add_done_callback(self._asked)
        await asyncio.shield(self._asking)

    def _asked(self, asking: asyncio.Task[None]) -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()

    async def _ask_each(self, peers: list[Peer], headers: dict[str, str]) -> None:
        last = max((peer.asked_at for peer in peers), default=float("-inf"))
        await asyncio.sleep(last + _ASK_INTERVAL - time.monotonic())
        await asyncio.gather(*(self._identify(peer, headers) for peer in peers))

    async def _identify(self, peer: Peer, headers: dict[str, str]) -> None:
        storage, is_silent = None, False
        try:
            reply = await self.http.fetch(peer, Purpose.IDENTITY, IDENTITY_PATH, headers, _ASK_TIMEOUT)
            storage = None if reply is None else Identity.model_validate_json(reply).storage
        except OwnerGoneError:
            pass
        except (OwnerUnreachableError, ValidationError):
            storage, is_silent = peer.storage, True
        peer.storage, peer.is_silent, peer.asked_at = storage, is_silent, time.monotonic()


def open_directory(settings: InferenceSettings, storage: str, metrics: Metrics) -> Directory:
    """`storage`: the token of this replica's own. With TLS the replicas know each other by the certificates that they
    serve with. Raises TlsFolderError."""
    urls = settings.peers_url or ""
    folder = settings.tls_dir if "https://" in urls else None
    tls = None if folder is None else TlsFolder("RLM_TLS_DIR", folder, Side.CLIENT).following_context()
    directory = Directory(urls, storage, PeerHttp(metrics, tls))
    metrics.peers.set_function(directory.count)
    return directory
