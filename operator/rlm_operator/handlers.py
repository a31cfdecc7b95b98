"""The watches: kopf as an embedded watcher, and nothing else of it.

Only `on.event` handlers are registered, so kopf writes nothing to any object: no finalizers, no annotations, no events.
Each handler hands the object to the feed. `process.py` runs the watcher.

kopf ends all its watches when one of them gets an answer such as 400 or 404, and may hang while it does so. So its
tasks are looked after here: when one ends unasked, `watch` raises at once, and the process is left to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

import kopf

from rlm_operator.cluster import PAGE_SIZE, Cluster
from rlm_operator.errors import WatchEndedError
from rlm_operator.feed import Feed
from rlm_operator.kinds import APIS, RESOURCE_KINDS, WATCHED_CHILD_KINDS
from rlm_operator.names import FIELD_MANAGER, MANAGED_BY_LABEL
from rlm_operator.no_storage import NoDiffBaseStorage, NoMemories, NoProgressStorage
from rlm_operator.relist import CHILD_SELECTOR, Relist

_BACKOFF_SECONDS: Final = (0.5, 1, 2, 4, 8, 8, 8, 8)


async def watch(
    cluster: Cluster,
    feed: Feed,
    relist: Relist,
    namespaces: Sequence[str],
    *,
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    """Watch custom resources and their children until `stop` is set. Raises WatchEndedError.

    `ready` is set when the watches begin; kopf has installed signal handlers by then. Tasks that are to outlive the
    watcher must be made before: at its end kopf cancels every task that is younger than it.
    """
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=_build_registry(cluster, feed, relist),
        settings=_build_settings(),
        memories=NoMemories(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        stop_flag=stop,
        ready_flag=ready,
    )
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        raise WatchEndedError(_first_end(tasks))
    await kopf.run_tasks(tasks, ignored=others)


def _first_end(tasks: Collection[asyncio.Task[Any]]) -> str:
    [ended, *_] = [task for task in tasks if task.done()]
    cause = None if ended.cancelled() else ended.exception()
    return f"{ended.get_name()}: {cause or 'ended'}"


def _build_registry(cluster: Cluster, feed: Feed, relist: Relist) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, id="login")
    async def login(**_: Any) -> kopf.ConnectionInfo:
        """Always a new value: kopf refuses credentials that failed once."""
        connection = await cluster.connection()
        return kopf.ConnectionInfo(
            server=connection.server,
            ca_path=connection.ca_path,
            insecure=not connection.verify,
            scheme="Bearer" if connection.token else None,
            token=connection.token,
            certificate_path=connection.certificate_path,
            private_key_path=connection.key_path,
        )

    def register(kind: str) -> None:
        async def on_event(event: kopf.RawEvent, **_: Any) -> None:
            relist.count_event(kind)
            manifest = dict(event["object"])
            if event["type"] == "DELETED":
                feed.forget(kind, manifest)
            else:
                feed.receive(kind, manifest)

        api = APIS[kind]
        version = api.version.rpartition("/")[2]
        labels = {} if kind in RESOURCE_KINDS else {MANAGED_BY_LABEL: FIELD_MANAGER}
        kopf.on.event(api.group, version, api.plural, registry=registry, id=f"{kind}-event", labels=labels)(on_event)

    for kind in (*RESOURCE_KINDS, *WATCHED_CHILD_KINDS):
        register(kind)
    return registry


def _build_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = NoDiffBaseStorage()
    settings.persistence.progress_storage = NoProgressStorage()
    # A worker of kopf's holds the object that it handled until this is over: thousands of them when a watch begins.
    settings.queueing.idle_timeout = 0.05
    # An int: kopf sends a float as "300.0", which the API server refuses.
    settings.watching.server_timeout = 300
    settings.watching.inactivity_timeout = 70
    settings.watching.connect_timeout = 5
    settings.watching.chunk_size = PAGE_SIZE
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _BACKOFF_SECONDS
    for kind in WATCHED_CHILD_KINDS:
        api = APIS[kind]
        settings.watching.label_selectors[api.group, api.version.rpartition("/")[2], api.plural] = CHILD_SELECTOR
    return settings
