"""What the pods of a probe reported, and what that says of the network. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BaseModel, Field, ValidationError

from rlm_operator.conditions import Reason

SANDBOX_ROLE: Final = "sandbox"
STRANGER_ROLE: Final = "stranger"
CLIENT_ROLE: Final = "client"
ROLES: Final = (SANDBOX_ROLE, STRANGER_ROLE, CLIENT_ROLE)
POOL_TARGET: Final = "sandbox"
"""Name of the pool's own port among the targets."""

_Name = Annotated[str, Field(max_length=64, pattern=r"^[-a-z0-9]+$")]


class Report(BaseModel):
    """The termination message of a probe's pod."""

    reached: Annotated[list[_Name], Field(max_length=32)]
    tried: Annotated[list[_Name], Field(max_length=32)]


def parse_report(message: str) -> Report | None:
    """None for anything that is no report."""
    try:
        return Report.model_validate_json(message)
    except ValidationError:
        return None


def judge(reports: Mapping[str, Report], troubles: Mapping[str, str]) -> tuple[Reason, str]:
    """`reports` by role; `troubles`: why a role has none."""
    missing = [role for role in ROLES if role not in reports]
    sandbox, stranger = reports.get(SANDBOX_ROLE), reports.get(STRANGER_ROLE)
    leaks = []
    if sandbox is not None and sandbox.reached:
        leaks.append(f"a pod with the sandbox's network label reached {', '.join(sandbox.reached)}")
    if stranger is not None and POOL_TARGET in stranger.reached:
        leaks.append("a pod without a caller's label reached the sandbox port")
    if leaks:
        return Reason.NETWORK_POLICY_NOT_ENFORCED, (
            f"The network does not keep what the policy says: {' and '.join(leaks)}. Use a network plugin that "
            "enforces NetworkPolicies, and look for another policy that opens this."
        )
    if missing or sandbox is None or stranger is None:
        words = "; ".join(f"{role}: {troubles.get(role, 'no report')}" for role in missing)
        return Reason.ISOLATION_PROBE_FAILED, f"The probe of the network did not finish ({words}); it is tried again."
    if POOL_TARGET not in reports[CLIENT_ROLE].reached:
        return Reason.ISOLATION_PROBE_FAILED, (
            "A pod with a caller's label could not reach the sandbox port either, so nothing is known: look for "
            "another policy in this namespace that restricts the probe's pods or the sandbox."
        )
    others = sorted(set(stranger.reached) - {POOL_TARGET})
    control = f"reached {', '.join(others)}" if others else "reached none of them either"
    return Reason.ISOLATION_VERIFIED, (
        f"A pod with the sandbox's network label reached none of {', '.join(sandbox.tried)}; one without it {control}. "
        "The sandbox port answered a caller and no stranger."
    )
