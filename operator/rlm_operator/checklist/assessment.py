"""The items of the checklist and the verdict on each, for a stack with its pool or for a pool. Pure.

Called by `reconcile.py` for the status and by `rlmctl verify`. Equal evidence gives equal words, so a status that is
as before is not written again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rlm_operator.checklist.containers import check_digests, check_limits, check_privileges, check_users
from rlm_operator.checklist.evidence import PlaneEvidence
from rlm_operator.checklist.execution import check_audit, check_timeouts, check_wasm
from rlm_operator.checklist.findings import Findings
from rlm_operator.checklist.keys import check_model_keys, check_sandbox_keys, model_secrets
from rlm_operator.checklist.traffic import check_traffic
from rlm_operator.resource import Manifest


class Item(StrEnum):
    """In the order of the list."""

    LLM_KEYS = "LLMKeysInSecretsOnly"
    SANDBOX_KEYS = "SandboxHasNoLLMKeys"
    TRAFFIC = "PoliciesRestrictTraffic"
    LIMITS = "LimitsOnAllContainers"
    WASM = "WASMSandboxOn"
    TIMEOUTS = "ExecutionTimeoutsSet"
    PRIVILEGES = "NoPrivilegedContainers"
    USERS = "NonRootEverywhere"
    DIGESTS = "ImagesPinnedByDigest"
    AUDIT = "AuditLoggingOn"


@dataclass(frozen=True)
class Check:
    """The verdict on one item; `message` says what was seen, or what is wrong and what to do."""

    item: Item
    passed: bool
    message: str

    def as_status(self) -> Manifest:
        return {"item": str(self.item), "passed": self.passed, "message": self.message}


_GOOD = {
    Item.LLM_KEYS: "The keys of models are files of mounted Secrets.",
    Item.SANDBOX_KEYS: "Sandbox pods have the keys of their callers and no other.",
    Item.TRAFFIC: "NetworkPolicies restrict both directions of all pods, and sandboxes connect to nothing.",
    Item.LIMITS: "Every container has a CPU and a memory limit.",
    Item.WASM: "Code runs in the WASM sandbox only.",
    Item.TIMEOUTS: "Every execution and every run has a timeout.",
    Item.PRIVILEGES: "No container is privileged, can become so, or shares anything of its node.",
    Item.USERS: "No container may run as root.",
    Item.DIGESTS: "Every image is pinned by its digest.",
    Item.AUDIT: "Audit lines are written.",
}
_ADVICE = {
    Item.LLM_KEYS: "put the key into a Secret and name it in apiKeySecretRef",
    Item.SANDBOX_KEYS: "remove it from the Deployment, or give the pool a Secret of its own in auth.secretRef",
    Item.TRAFFIC: "set networkPolicy.management to Managed, or narrow the policy",
    Item.LIMITS: "set limits on it, or keep what added it away from these pods",
    Item.WASM: "undo the change, or choose image stdlib or scientific",
    Item.TIMEOUTS: "undo the change: the operator's ConfigMap has one",
    Item.PRIVILEGES: "remove it, or keep what added it away from these pods",
    Item.USERS: "set runAsNonRoot on it, or keep what added it away from these pods",
    Item.DIGESTS: "name NAME@sha256:… in the operator's --inference-image and --sandbox-image, or a pool's imageDigest",
    Item.AUDIT: "set logging.audit to true",
}


def assess_stack(inference: PlaneEvidence, sandbox: PlaneEvidence | None) -> list[Check]:
    """All ten items, over both planes. `sandbox` None: the stack's pool does not exist."""
    own = _verdict(Item.LLM_KEYS, [inference], check_model_keys(inference))
    if sandbox is None:
        others = [item for item in Item if item is not Item.LLM_KEYS]
        return [own, *(Check(item, False, "Can not be judged: the SandboxPool does not exist.") for item in others)]
    return [own, *_shared([inference, sandbox], sandbox, inference)]


def assess_pool(sandbox: PlaneEvidence) -> list[Check]:
    """The nine items that concern a pool by itself."""
    return _shared([sandbox], sandbox, None)


def _shared(planes: list[PlaneEvidence], sandbox: PlaneEvidence, inference: PlaneEvidence | None) -> list[Check]:
    secrets = model_secrets(inference) if inference else set()
    findings = {
        Item.SANDBOX_KEYS: check_sandbox_keys(sandbox, secrets),
        Item.TRAFFIC: check_traffic(planes),
        Item.LIMITS: check_limits(planes),
        Item.WASM: check_wasm(sandbox, inference),
        Item.TIMEOUTS: check_timeouts(planes),
        Item.PRIVILEGES: check_privileges(planes),
        Item.USERS: check_users(planes),
        Item.DIGESTS: check_digests(planes),
        Item.AUDIT: check_audit(planes),
    }
    return [_verdict(item, planes, found) for item, found in findings.items()]


def _verdict(item: Item, planes: list[PlaneEvidence], findings: Findings) -> Check:
    """What does not exist can not be judged, and is not called good."""
    absent = [f"Deployment {plane.workload} does not exist" for plane in planes if plane.deployment is None]
    if absent:
        return Check(item, False, f"Can not be judged: {'; '.join(absent)}.")
    if findings:
        return Check(item, False, f"{findings.words()}: {_ADVICE[item]}.")
    return Check(item, True, _GOOD[item])
