"""The part of an API server that an elector needs, in memory: one Lease with resource versions, and clocks to set.

For what a real API server can not be made to do at a given moment; the integration tests elect on a real one.
"""

from __future__ import annotations

import asyncio
import copy

from rlm_operator.errors import ConflictError, NotFoundError, UnavailableError
from rlm_operator.kinds import Ref
from rlm_operator.resource import Manifest


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class LeaseApi:
    """`lease` is None where there is none; while `away`, nothing is answered.

    While `loses_answers`, a write is done and its answer lost. `version` counts writes; `reached` is set when it is
    `awaited`.
    """

    def __init__(self, lease: Manifest | None = None) -> None:
        self.lease = lease
        self.away = False
        self.loses_answers = False
        self.version = 1
        self.awaited = 0
        self.reached = asyncio.Event()

    @property
    def holder(self) -> str:
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])

    async def fetch(self, ref: Ref) -> Manifest:  # noqa: ARG002 - there is one Lease only
        self._answer()
        if self.lease is None:
            raise NotFoundError("no such Lease", status=404)
        return copy.deepcopy(self.lease)

    async def create(self, manifest: Manifest) -> Manifest:
        self._answer()
        if self.lease is not None:
            raise ConflictError("it exists", status=409)
        return self._store(manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        self._answer()
        if self.lease is None:
            raise NotFoundError("no such Lease", status=404)
        if manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError("it was changed", status=409)
        stored = self._store(manifest)
        if self.loses_answers:
            raise UnavailableError("the connection was cut")
        return stored

    def edit(self, **changes: object) -> None:
        """As by kubectl edit."""
        assert self.lease is not None
        self._store({**self.lease, "spec": {**self.lease["spec"], **changes}})

    def _answer(self) -> None:
        if self.away:
            raise UnavailableError("no answer from the API server")

    def _store(self, manifest: Manifest) -> Manifest:
        self.version += 1
        if self.version >= self.awaited:
            self.reached.set()
        metadata = {**manifest["metadata"], "resourceVersion": str(self.version), "uid": "lease-uid"}
        self.lease = {**copy.deepcopy(manifest), "metadata": metadata}
        return copy.deepcopy(self.lease)
