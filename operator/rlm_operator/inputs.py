"""What rendering needs besides the custom resource itself: images, and facts that only a cluster knows.

`rlmctl render` and `rlmctl dev` leave the cluster's facts out; the operator observes them. Rendering reads nothing
else, so equal inputs always give equal manifests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from rlm_operator.bounds import UNBOUNDED, Bounds
from rlm_operator.names import operator_version
from rlm_operator.network_facts import NOTHING_KNOWN, NetworkFacts
from rlm_operator.spec.tls import Tls

SCIENTIFIC_GUEST: Final = "scientific"


@dataclass(frozen=True)
class Images:
    """Container images of the two planes. That of the scientific guest is larger, so it is one of its own."""

    inference: str
    sandbox: str
    sandbox_scientific: str

    def for_guest(self, guest: str, digest: str | None = None) -> str:
        """The container image for a pool whose `image` is `guest`. Guests of one's own are in `sandbox`.

        `digest`, such as `sha256:…`, takes the place of tag and digest.
        """
        image = self.sandbox_scientific if guest == SCIENTIFIC_GUEST else self.sandbox
        return image if digest is None else f"{_repository(image)}@{digest}"


@dataclass(frozen=True)
class LiveScale:
    """The replica count of a Deployment that exists, whether somebody else (an autoscaler) decides it, and the version
    of the Deployment that says so."""

    replicas: int
    decided_elsewhere: bool
    version: str = field(default="", compare=False)


@dataclass(frozen=True)
class PoolTerms:
    """What a stack must know of the pool that it refers to. `key_secret`: the user's, None for one made by us.
    `wants_keda`: whether it is to be scaled by what the stack's pods want."""

    key_secret: str | None = None
    tls: Tls = field(default_factory=Tls)
    wants_keda: bool = False


@dataclass(frozen=True)
class Inputs:
    """`pool`: of a stack that refers to one, once that pool can be read. `live`: None before creation.
    `served`: those of kinds.OPTIONAL_CHILD_KINDS that the API server has, and kinds.CUSTOM_METRICS. `in_cluster`: False
    for files, whose pods may run as processes of one machine. `keda_namespace`: where KEDA runs."""

    images: Images
    pool: PoolTerms | None = None
    live: LiveScale | None = None
    served: frozenset[str] = frozenset()
    network: NetworkFacts = NOTHING_KNOWN
    bounds: Bounds = UNBOUNDED
    in_cluster: bool = False
    keda_namespace: str = "keda"


def _repository(image: str) -> str:
    """`host:5000/sandbox` of `host:5000/sandbox:1@sha256:…`: a colon before the last slash is that of a port."""
    named = image.partition("@")[0]
    folder, slash, last = named.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def choose_images(
    inference: str | None = None, sandbox: str | None = None, sandbox_scientific: str | None = None
) -> Images:
    """Those of this version in place of what is None. One image for sandboxes alone is meant for all of them."""
    tag = operator_version()
    return Images(
        inference=inference or f"rlm-operator/inference:{tag}",
        sandbox=sandbox or f"rlm-operator/sandbox:{tag}",
        sandbox_scientific=sandbox_scientific or sandbox or f"rlm-operator/sandbox-scientific:{tag}",
    )
