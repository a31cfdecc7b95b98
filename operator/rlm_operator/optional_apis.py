"""Which optional APIs the cluster serves: KEDA, the Prometheus operator, Gateway, Cilium, cert-manager, pod metrics.

`relist.py` asks the API server again and again, since their CRDs may be installed or removed at any time. Rendering
goes by `served`; a kind that is not served is left out, and the status says so where the spec asks for it.
"""

from __future__ import annotations

import logging

from rlm_operator.api import KubernetesApi
from rlm_operator.feed import Feed
from rlm_operator.kinds import APIS, CUSTOM_METRICS, OPTIONAL_CHILD_KINDS

_log = logging.getLogger(__name__)


class OptionalApis:
    """Knows nothing before the first `refresh`."""

    def __init__(self, api: KubernetesApi, feed: Feed) -> None:
        self._api = api
        self._feed = feed
        self._served: frozenset[str] = frozenset()

    @property
    def served(self) -> frozenset[str]:
        """Those of OPTIONAL_CHILD_KINDS that the API server has, and CUSTOM_METRICS if it has them."""
        return self._served

    async def refresh(self) -> frozenset[str]:
        """Ask once; returns the kinds that are new. After a change every resource is queued, and objects of kinds that
        are gone are forgotten.

        Raises ApiError; then all stays as it was.
        """
        versions = sorted({APIS[kind].version for kind in OPTIONAL_CHILD_KINDS})
        plurals = {version: await self._api.fetch_plurals(version) for version in versions}
        served = frozenset(kind for kind in OPTIONAL_CHILD_KINDS if APIS[kind].plural in plurals[APIS[kind].version])
        served |= {CUSTOM_METRICS} & await self._api.fetch_groups()
        if served == self._served:
            return frozenset()
        before, self._served = self._served, served
        for kind in before - served:
            self._feed.keep_only(frozenset(), kind, None, "")
        _log.info("optional APIs: %s", ", ".join(sorted(served)) or "none")
        self._feed.enqueue_all()
        return served - before
