"""What rendering needs besides the custom resource itself: images, and facts that only a cluster knows.

`rlmctl render` and `rlmctl dev` leave the cluster's facts out; the operator observes them. Rendering reads nothing
else, so equal inputs always give equal manifests.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlm_operator.names import operator_version


@dataclass(frozen=True)
class Images:
    """Container images of the two planes."""

    inference: str
    sandbox: str


@dataclass(frozen=True)
class LiveScale:
    """The replica count of a Deployment that exists, and whether somebody else (an autoscaler) decides it."""

    replicas: int
    decided_elsewhere: bool


@dataclass(frozen=True)
class Inputs:
    """`pool_key_secret`: of a pool that a stack refers to, when that pool names one. `live`: None before creation."""

    images: Images
    pool_key_secret: str | None = None
    live: LiveScale | None = None


def default_images() -> Images:
    """The images that belong to this version."""
    tag = operator_version()
    return Images(inference=f"rlm-operator/inference:{tag}", sandbox=f"rlm-operator/sandbox:{tag}")
