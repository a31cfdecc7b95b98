"""The operator as a process: makes every part, starts them in order, and stops them in order.

Every operator watches; the one that leads also works (`leader.py`). Order at the end, within seconds of SIGTERM:
workers finish what they are at, the Lease is released, then the watches end, then the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from contextlib import suppress
from typing import Final

from rlm_operator.cache import Cache
from rlm_operator.cluster import Access, Cluster, open_cluster
from rlm_operator.errors import ApiError, NotFoundError
from rlm_operator.events import EventRecorder
from rlm_operator.feed import Feed
from rlm_operator.fence import FencedApi
from rlm_operator.handlers import watch
from rlm_operator.health import Checks, start_health_server
from rlm_operator.isolation.runs import IsolationProbe
from rlm_operator.leader import Leader
from rlm_operator.lease import Elector, LeaseElector, LeaseTerms, Unopposed
from rlm_operator.metrics import Metrics
from rlm_operator.optional_apis import OptionalApis
from rlm_operator.recent_secrets import RecentSecrets
from rlm_operator.reconcile import Reconciler
from rlm_operator.relist import Relist
from rlm_operator.resolver import Resolver
from rlm_operator.settings import Settings
from rlm_operator.surroundings import Surroundings
from rlm_operator.tracing import Tracing, open_tracing
from rlm_operator.workers import work
from rlm_operator.workqueue import WorkQueue

_FILL_RETRY_SECONDS: Final = 5
_WATCH_END_SECONDS: Final = 8

_log = logging.getLogger(__name__)


async def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    async with open_tracing(settings.otlp_endpoint) as tracing:
        cluster = await open_cluster(Access(settings.kubeconfig, settings.context), tracing)
        try:
            return await _Process(settings, cluster, tracing).run()
        finally:
            await cluster.close()


class _Process:
    def __init__(self, settings: Settings, cluster: Cluster, tracing: Tracing) -> None:
        metrics, cache = Metrics(), Cache()
        self._settings = settings
        self._tracing = tracing
        self._cluster = cluster
        self._metrics = metrics
        self._queue = WorkQueue()
        self._feed = Feed(cache, self._queue)
        metrics.resources.set_function(lambda: len(cache.resources()))
        metrics.children.set_function(lambda: len(cache.children()))
        namespaces = settings.namespace_list
        optional = OptionalApis(cluster, self._feed)
        self._relist = Relist(cluster, self._feed, optional, metrics, namespaces, settings.resync_seconds)
        recorder = EventRecorder(cluster, socket.gethostname())
        elector = _elector(settings, cluster)
        fenced = RecentSecrets(FencedApi(cluster, lambda: elector.leads), is_pressed=self._queue.is_pressed)
        self._resolver = Resolver()
        surroundings = Surroundings(cluster, self._resolver, namespaces, cluster.server)
        self._reconciler = Reconciler(
            fenced,
            cache,
            self._feed,
            settings.images,
            optional,
            surroundings,
            settings.bounds,
            IsolationProbe(fenced, cache, self._resolver),
            recorder,
            metrics,
            namespaces,
            settings.lifetimes,
            is_pressed=self._queue.is_pressed,
            keda_namespace=settings.keda_namespace,
        )
        self._leader = Leader(elector, self._queue, cache, recorder, metrics, self._work, settings.workers)
        self._stop = asyncio.Event()
        self._watching = asyncio.Event()
        self._end_watch = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        self._catch_signals()
        checks = Checks(alive=self._troubles, ready=self._unready)
        settings = self._settings
        runner = await start_health_server(settings.metrics_host, settings.metrics_port, checks, self._metrics)
        try:
            return await self._serve() if await self._fill() else 0
        finally:
            self._resolver.close()
            await runner.cleanup()

    async def _fill(self) -> bool:
        """Know everything before the first reconcile, so that a restart writes nothing. False when stopped before."""
        while not self._stop.is_set():
            try:
                await self._relist.fill()
            except NotFoundError as error:
                _log.error("%s: are the CRDs installed? kubectl apply -f crds/ does it", error)
            except ApiError as error:
                _log.error("%s", error)
            else:
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(_FILL_RETRY_SECONDS):
                    await self._stop.wait()
        return False

    async def _serve(self) -> int:
        # Made before the watcher, which cancels what is younger than itself when it ends.
        leader = asyncio.create_task(self._leader.run(), name="leader")
        relist = asyncio.create_task(self._relist.run(), name="relist")
        discovery = asyncio.create_task(self._relist.discover(), name="discovery")
        signals = asyncio.create_task(self._take_signals_back(), name="signals")
        watcher = asyncio.create_task(
            watch(
                self._cluster,
                self._feed,
                self._relist,
                self._settings.namespace_list,
                stop=self._end_watch,
                ready=self._watching,
            ),
            name="watcher",
        )
        self._tasks = [leader, relist, discovery, watcher]
        asked = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait([asked, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        failed = self._ended()
        for line in failed:
            _log.error("ended by itself: %s", line)
        _log.info("draining")
        await self._leader.end()
        ours = (leader, relist, discovery, signals, asked)
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)
        self._end_watch.set()
        await asyncio.wait([watcher], timeout=_WATCH_END_SECONDS)
        if failed or not watcher.done():
            # kopf can hang at its end after a watch broke; nothing of ours is left to lose.
            _log.error("leaving without an orderly end of the watches")
            logging.shutdown()
            os._exit(1 if failed else 0)
        return 0

    async def _work(self) -> None:
        await work(self._queue, self._reconciler, self._metrics, self._tracing)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def _take_signals_back(self) -> None:
        """kopf installs handlers of its own when it starts; ours replace them, since workers must end first."""
        await self._watching.wait()
        self._catch_signals()
        _log.info("watching %s", ", ".join(self._settings.namespace_list) or "all namespaces")

    def _unready(self) -> list[str]:
        if self._stop.is_set():
            return ["stopping"]
        return [] if self._watching.is_set() else ["the watches have not begun"]

    def _troubles(self) -> list[str]:
        return [*self._ended(), *self._relist.problems()]

    def _ended(self) -> list[str]:
        """Tasks that should run for ever but do not."""
        ended = []
        for task in self._tasks:
            if task.done() and not self._stop.is_set():
                cause = "cancelled" if task.cancelled() else task.exception()
                ended.append(f"{task.get_name()}: {cause or 'returned'}")
        return ended


def _elector(settings: Settings, cluster: Cluster) -> Elector:
    """The pod's name alone would not tell a container that was started anew from the one before."""
    if not settings.lease_namespace:
        return Unopposed()
    identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
    return LeaseElector(cluster, LeaseTerms(settings.lease_namespace, identity, settings.lease_seconds))
