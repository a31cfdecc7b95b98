"""A custom resource as a typed value: who it is, and its parsed spec.

`parse_resource` is the only way from a plain object, of the API server or of a file, to a `Stack` or a `Pool`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rlm_operator.errors import SpecInvalidError
from rlm_operator.names import API_VERSION, pool_key_secret
from rlm_operator.spec.pool import SandboxPoolSpec
from rlm_operator.spec.stack import RLMStackSpec

Manifest = dict[str, Any]
"""A Kubernetes object as plain JSON."""

_NAME: Final = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")


class Kind(StrEnum):
    """The custom resources of this operator."""

    STACK = "RLMStack"
    POOL = "SandboxPool"


@dataclass(frozen=True)
class Identity:
    """Which object: `uid` is empty and `generation` 0 for one that no API server has seen."""

    kind: Kind
    namespace: str
    name: str
    uid: str = ""
    generation: int = 0


@dataclass(frozen=True)
class Stack:
    """An RLMStack."""

    identity: Identity
    spec: RLMStackSpec

    @property
    def pool_name(self) -> str:
        """The pool that runs this stack's code: the one referred to, else its own, which has its name."""
        reference = self.spec.sandbox_pool_ref
        return self.identity.name if reference is None else reference.name

    @property
    def pool_namespace(self) -> str:
        """Where that pool is."""
        reference = self.spec.sandbox_pool_ref
        return (reference.namespace if reference else None) or self.identity.namespace


@dataclass(frozen=True)
class Pool:
    """A SandboxPool."""

    identity: Identity
    spec: SandboxPoolSpec

    @property
    def key_secret(self) -> str:
        """Secret with the keys of this pool's callers."""
        reference = self.spec.auth.secret_ref
        return pool_key_secret(self.identity.name) if reference is None else reference.name


Resource = Stack | Pool


def is_resource(manifest: Mapping[str, Any]) -> bool:
    """Whether a plain object is one of ours."""
    return manifest.get("apiVersion") == API_VERSION and manifest.get("kind") in list(Kind)


def parse_resource(manifest: Mapping[str, Any], namespace: str = "default") -> Resource:
    """Parse an RLMStack or SandboxPool; `namespace` is for objects that name none.

    Raises SpecInvalidError, with every wrong field on a line of its own.
    """
    if not is_resource(manifest):
        raise SpecInvalidError(
            f"{manifest.get('apiVersion')} {manifest.get('kind')} is not an RLMStack or SandboxPool of {API_VERSION}"
        )
    identity = identify(manifest, namespace)
    if len(identity.name) > 40 or not _NAME.match(identity.name):
        raise SpecInvalidError(
            f"metadata.name {identity.name!r} must be at most 40 characters of a-z, 0-9 and '-', "
            "and start with a letter, because Services and pods are named after it: choose a shorter or plainer name"
        )
    spec = manifest.get("spec") or {}
    try:
        if identity.kind is Kind.STACK:
            return Stack(identity, RLMStackSpec.model_validate(spec))
        return Pool(identity, SandboxPoolSpec.model_validate(spec))
    except ValidationError as error:
        lines = [f"{_field(details['loc'])}: {_words(details)}" for details in error.errors(include_url=False)]
        raise SpecInvalidError(f"{identity.kind} {identity.name}: " + "\n".join(lines)) from error


def identify(manifest: Mapping[str, Any], namespace: str = "default") -> Identity:
    """Who one of our objects is, whatever its spec holds."""
    metadata = manifest.get("metadata") or {}
    return Identity(
        kind=Kind(manifest["kind"]),
        namespace=metadata.get("namespace") or namespace,
        name=metadata.get("name") or "",
        uid=metadata.get("uid") or "",
        generation=metadata.get("generation") or 0,
    )


def _words(details: ErrorDetails) -> str:
    if details["type"] == "extra_forbidden":
        return "unknown field: check its spelling"
    return details["msg"].removeprefix("Value error, ")


def _field(location: tuple[int | str, ...]) -> str:
    """`spec.inference.egress.rules[2].to`, without the markers that pydantic adds for unions."""
    text = "spec"
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z]+", part) and part not in {"int", "str"}:
            text += f".{part}"
    return text
