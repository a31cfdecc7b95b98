"""The condition SandboxPoolReady of a stack: whether its pool is there, lets it in, and answers. Pure.

Called by `status.py`. A pool that does not allow the stack's namespace is told of as if it did not exist, so that a
stack is no way to look into other namespaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.resource import Stack


def pool_condition(stack: Stack, pool: Mapping[str, Any] | None, served_namespaces: Sequence[str]) -> Condition:
    """`pool`: None when it does not exist. `served_namespaces`: of an operator that serves some only; empty: all."""
    kind = ConditionType.SANDBOX_POOL_READY
    name, namespace, own = stack.pool_name, stack.pool_namespace, stack.identity.namespace
    if served_namespaces and namespace not in served_namespaces:
        words = (
            f'Namespace "{namespace}" of SandboxPool "{name}" is not served by this operator: use a pool of '
            f"{', '.join(served_namespaces)}, or add the namespace to the operator's --namespaces and give it the Role"
        )
        return Condition(kind, False, Reason.POOL_NAMESPACE_NOT_SERVED, words)
    if namespace != own and (pool is None or own not in ((pool.get("spec") or {}).get("allowedNamespaces") or ())):
        words = (
            f'There is no SandboxPool "{name}" in namespace "{namespace}" that stacks of namespace "{own}" may use: '
            f'have its owner add "{own}" to the pool\'s allowedNamespaces, or name another in sandboxPoolRef'
        )
        return Condition(kind, False, Reason.POOL_NOT_ALLOWED, words)
    if pool is None:
        words = f'SandboxPool "{name}" does not exist in namespace "{namespace}": ' + (
            "create it, or name another in sandboxPoolRef"
            if stack.spec.sandbox_pool_ref
            else "the operator is about to make it"
        )
        return Condition(kind, False, Reason.POOL_MISSING, words)
    for condition in (pool.get("status") or {}).get("conditions") or ():
        if condition["type"] == ConditionType.READY and condition["status"] == "True":
            return Condition(kind, True, Reason.POOL_READY, f'SandboxPool "{name}" is ready.')
        if condition["type"] == ConditionType.READY:
            words = f'SandboxPool "{name}" is not ready: {condition["message"]}'
            return Condition(kind, False, Reason.POOL_NOT_READY, words)
    return Condition(kind, False, Reason.POOL_NOT_READY, f'SandboxPool "{name}" has no status yet: wait a moment')
