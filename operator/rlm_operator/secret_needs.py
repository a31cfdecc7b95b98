"""Which Secrets a resource's pods mount, and what is wrong with the ones that are there. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlm_operator.bounds import UNBOUNDED, Bounds
from rlm_operator.conditions import Reason
from rlm_operator.live import find_owner
from rlm_operator.names import API_KEY, stack_key_secret, stack_sandbox_key_secret
from rlm_operator.objects.inference_volumes import user_key_secret
from rlm_operator.resource import Pool, Resource, Stack
from rlm_operator.spec.tools import Tools


@dataclass(frozen=True)
class SecretNeed:
    """One Secret: the entry that must be in it (None: any), what for, and who makes it."""

    name: str
    key: str | None
    purpose: str
    made_by_operator: bool = False


@dataclass(frozen=True)
class SecretProblem:
    """Why pods can not use a Secret."""

    reason: Reason
    message: str


def secret_needs(resource: Resource, sandbox_secret: str) -> list[SecretNeed]:
    """`sandbox_secret`: of a stack, the Secret with its key of the pool."""
    match resource:
        case Stack():
            return _stack_needs(resource, sandbox_secret)
        case Pool():
            made = resource.spec.auth.secret_ref is None
            return [SecretNeed(resource.key_secret, API_KEY, "keys of the sandbox's callers", made_by_operator=made)]


def find_problem(
    need: SecretNeed, secret: Mapping[str, Any] | None, namespace: str, bounds: Bounds = UNBOUNDED
) -> SecretProblem | None:
    """None when the Secret is fine. Its content is looked at for emptiness alone.

    One that the operator makes and that is not there yet is no problem of the user's: what keeps it from being made is
    told by the resource that owns it.
    """
    if secret is None and need.made_by_operator:
        return None
    if secret is None:
        return SecretProblem(
            Reason.SECRET_MISSING,
            f'Secret "{need.name}" ({need.purpose}) does not exist in namespace "{namespace}": '
            + _create(need, namespace),
        )
    made_by_us = need.made_by_operator and find_owner(secret["metadata"], namespace) is not None
    if not made_by_us and not bounds.allows_secret(secret):
        return SecretProblem(
            Reason.SECRET_NOT_ALLOWED,
            f'Secret "{need.name}" ({need.purpose}) does not carry the label "{bounds.secret_label}", which the '
            "administrator asks of Secrets that stacks may use (--secret-opt-in): pods that mount it are not started "
            f"or changed; if it is meant for them: kubectl label secret {need.name} -n {namespace} {_as_label(bounds)}",
        )
    filled = [key for key, value in (secret.get("data") or {}).items() if _is_filled(value)]
    if need.key is None and not filled:
        return SecretProblem(
            Reason.SECRET_KEY_MISSING,
            f'Secret "{need.name}" ({need.purpose}) holds no key: add an entry such as "{API_KEY}"',
        )
    if need.key is not None and need.key not in filled:
        advice = "delete the Secret and the operator makes it anew" if need.made_by_operator else "add it"
        return SecretProblem(
            Reason.SECRET_KEY_MISSING,
            f'Secret "{need.name}" ({need.purpose}) has no entry "{need.key}", or an empty one: {advice}',
        )
    return None


def _stack_needs(stack: Stack, sandbox_secret: str) -> list[SecretNeed]:
    spec, users = stack.spec, user_key_secret(stack)
    made = users == stack_key_secret(stack.identity.name) and spec.inference.auth.secret_ref is None
    needs: list[SecretNeed] = []
    if users:
        needs.append(SecretNeed(users, API_KEY if made else None, "keys of the endpoint's callers", made))
    if key := spec.model.api_key_secret_ref:
        needs.append(SecretNeed(key.name, key.key, "API key of the root model"))
    if spec.sub_model and (key := spec.sub_model.api_key_secret_ref):
        needs.append(SecretNeed(key.name, key.key, "API key of the sub model"))
    needs += _tool_needs(spec.tools)
    if (store := spec.storage.object_store) and store.secret_ref:
        needs.append(SecretNeed(store.secret_ref.name, None, "credentials of the object store"))
    generated = sandbox_secret == stack_sandbox_key_secret(stack.identity.name)
    needs.append(SecretNeed(sandbox_secret, API_KEY, "key of the sandbox pool", generated))
    return needs


def _tool_needs(tools: Tools) -> list[SecretNeed]:
    return [
        SecretNeed(
            secret.secret_key_ref.name, secret.secret_key_ref.key, f"header {header} of the tool {function.name}"
        )
        for function in tools.functions
        for header, secret in sorted(function.secret_headers.items())
    ]


def _create(need: SecretNeed, namespace: str) -> str:
    return (
        f"create it with: kubectl create secret generic {need.name} -n {namespace} "
        f"--from-literal={need.key or API_KEY}=YOUR-KEY"
    )


def _as_label(bounds: Bounds) -> str:
    label = bounds.secret_label or ""
    return label if "=" in label else f"{label}=true"


def _is_filled(encoded: str) -> bool:
    try:
        return bool(base64.b64decode(encoded or "").strip())
    except binascii.Error:
        return False
