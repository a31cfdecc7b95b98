"""What reconciling asks of a Kubernetes API server; `cluster.py` is the implementation.

Objects are plain JSON. Every method raises ApiError and its kinds (errors.py), and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from rlm_operator.kinds import Ref
from rlm_operator.resource import Manifest


@dataclass(frozen=True)
class Listing:
    """All objects of a kind, or a page of them, as of one resource version."""

    items: list[Manifest]
    version: str


class KubernetesApi(Protocol):
    """Each call is one request, bounded in time."""

    async def fetch(self, ref: Ref) -> Manifest:
        """NotFoundError when it does not exist."""
        ...

    async def fetch_list(self, kind: str, namespace: str | None, label_selector: str | None) -> Listing:
        """All objects of a kind, in one namespace or in all."""
        ...

    async def fetch_some(self, kind: str, namespace: str, label_selector: str, most: int) -> list[Manifest]:
        """The first `most` objects of a kind, in one request."""
        ...

    async def fetch_plurals(self, version: str) -> frozenset[str]:
        """Plural names that are served under an apiVersion of a group; empty when there is no such API."""
        ...

    async def fetch_groups(self) -> frozenset[str]:
        """Names of all API groups, those of aggregated API servers included, even while one of them is down."""
        ...

    async def apply(self, manifest: Manifest, *, absent: bool = False) -> Manifest:
        """Server-side apply as the operator's field manager, taking over fields that others hold.

        `absent`: only where no object of that name exists; ConflictError where one does.
        """
        ...

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """Server-side apply of `status`; `metadata.uid` guards against a namesake."""
        ...

    async def create(self, manifest: Manifest) -> Manifest:
        """ConflictError when it exists."""
        ...

    async def merge(self, ref: Ref, patch: Manifest) -> Manifest:
        """JSON merge patch: lists are replaced whole."""
        ...

    async def delete(self, ref: Ref, uid: str) -> None:
        """Delete exactly this object; its dependents follow in the background."""
        ...


class ListingApi(Protocol):
    """What `relist.py` asks: all objects of a kind, page by page, so that they are not in memory all at once."""

    async def fetch(self, ref: Ref) -> Manifest:
        """One object; NotFoundError when there is none."""
        ...

    def fetch_pages(self, kind: str, namespace: str | None, label_selector: str | None) -> AsyncIterator[Listing]:
        """Whole objects, in one namespace or in all."""
        ...

    def fetch_versions(self, kind: str, namespace: str | None, label_selector: str | None) -> AsyncIterator[Listing]:
        """The same objects' metadata alone."""
        ...
