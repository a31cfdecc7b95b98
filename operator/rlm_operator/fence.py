"""The API as a reconcile sees it: whoever does not lead can not write.

A leader that was stopped for a while (a frozen node, a suspended machine) goes on in the middle of a reconcile when
somebody else may lead already. Its tasks are ended soon, but the next write would come before that. So each write asks.
"""

from __future__ import annotations

from collections.abc import Callable

from rlm_operator.api import KubernetesApi, Listing
from rlm_operator.errors import NotLeaderError
from rlm_operator.kinds import Ref
from rlm_operator.resource import Manifest


class FencedApi:
    """`api`, with writes that raise NotLeaderError while `leads` is false."""

    def __init__(self, api: KubernetesApi, leads: Callable[[], bool]) -> None:
        self._api = api
        self._leads = leads

    async def fetch(self, ref: Ref) -> Manifest:
        return await self._api.fetch(ref)

    async def fetch_list(self, kind: str, namespace: str | None, label_selector: str | None) -> Listing:
        return await self._api.fetch_list(kind, namespace, label_selector)

    async def fetch_some(self, kind: str, namespace: str, label_selector: str, most: int) -> list[Manifest]:
        return await self._api.fetch_some(kind, namespace, label_selector, most)

    async def fetch_plurals(self, version: str) -> frozenset[str]:
        return await self._api.fetch_plurals(version)

    async def fetch_groups(self) -> frozenset[str]:
        return await self._api.fetch_groups()

    async def apply(self, manifest: Manifest, *, absent: bool = False) -> Manifest:
        self._check()
        return await self._api.apply(manifest, absent=absent)

    async def apply_status(self, manifest: Manifest) -> Manifest:
        self._check()
        return await self._api.apply_status(manifest)

    async def create(self, manifest: Manifest) -> Manifest:
        self._check()
        return await self._api.create(manifest)

    async def merge(self, ref: Ref, patch: Manifest) -> Manifest:
        self._check()
        return await self._api.merge(ref, patch)

    async def delete(self, ref: Ref, uid: str) -> None:
        self._check()
        await self._api.delete(ref, uid)

    def _check(self) -> None:
        if not self._leads():
            raise NotLeaderError("not written: another operator may lead by now")
