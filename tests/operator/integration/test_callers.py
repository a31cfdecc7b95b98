"""Keys of a pool's callers: one per stack, taken away with the stack or its permission; also across namespaces."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_pool, build_stack
from tests.operator.integration.tenant import Tenant

POOL_LABEL = "rlm-operator.dev/sandbox-pool"
POLL_SECONDS = 150.0  # the operator looks at Secrets every 60 s


@pytest.fixture
def guest(control_plane: ControlPlane, operator: OperatorProcess, tenant: Tenant) -> Iterator[Tenant]:
    """A second namespace, whose stacks use a pool of the first."""
    guest = Tenant(control_plane, f"{tenant.namespace}-guest")
    yield guest
    guest.kubectl.delete("namespace", guest.namespace)


def keys_of(tenant: Tenant, secret: str) -> dict[str, str]:
    data = (tenant.get("secret", secret) or {}).get("data") or {}
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def key_of(tenant: Tenant, stack: str) -> str:
    return keys_of(tenant, f"{stack}-rlm-sandbox-key").get("api-key", "")


def expect_entries(tenant: Tenant, wanted: set[str], timeout: float = 60.0) -> dict[str, str]:
    """The pool's key Secret, once it has these entries besides `api-key`."""
    eventually(
        lambda: set(keys_of(tenant, "shared-wasm-keys")) == {"api-key", *wanted}, f"the entries {wanted}", timeout
    )
    return keys_of(tenant, "shared-wasm-keys")


def borrow(guest: Tenant, owner: Tenant, name: str = "away") -> None:
    guest.apply(
        build_stack(name, guest.namespace, {"sandboxPoolRef": {"name": "shared", "namespace": owner.namespace}})
    )


def test_many_stacks_that_appear_at_once_each_get_a_key_of_their_own(tenant: Tenant) -> None:
    names = [f"s{number}" for number in range(6)]
    reference = {"sandboxPoolRef": {"name": "shared"}}
    tenant.apply(
        build_pool("shared", tenant.namespace), *(build_stack(name, tenant.namespace, reference) for name in names)
    )
    entries = expect_entries(tenant, {f"rlmstack.{tenant.namespace}.{name}" for name in names})
    assert len(set(entries.values())) == len(names) + 1
    for name in names:
        assert entries[f"rlmstack.{tenant.namespace}.{name}"] == key_of(tenant, name)


def test_a_stack_that_goes_takes_its_entry_along_and_those_of_others_and_of_users_stay(tenant: Tenant) -> None:
    reference = {"sandboxPoolRef": {"name": "shared"}}
    tenant.apply(build_pool("shared", tenant.namespace))
    for name in ("stays", "goes"):
        tenant.apply(build_stack(name, tenant.namespace, reference))
    ours = {name: f"rlmstack.{tenant.namespace}.{name}" for name in ("stays", "goes")}
    before = expect_entries(tenant, set(ours.values()))
    tenant.patch("secret", "shared-wasm-keys", {"stringData": {"notebook": "a-key-of-the-users"}})
    tenant.delete("rlmstack", "goes")
    after = expect_entries(tenant, {ours["stays"], "notebook"})
    assert (after["api-key"], after[ours["stays"]]) == (before["api-key"], before[ours["stays"]])
    tenant.patch("rlmstack", "stays", {"spec": {"sandboxPoolRef": None, "sandbox": {}}})
    expect_entries(tenant, {"notebook"})


def test_a_key_that_is_deleted_is_revoked_and_made_anew(tenant: Tenant) -> None:
    tenant.apply(build_pool("shared", tenant.namespace))
    tenant.apply(build_stack("s", tenant.namespace, {"sandboxPoolRef": {"name": "shared"}}))
    entry = f"rlmstack.{tenant.namespace}.s"
    before = expect_entries(tenant, {entry})[entry]
    tenant.delete("secret", "s-rlm-sandbox-key")
    eventually(lambda: keys_of(tenant, "shared-wasm-keys").get(entry, before) != before, "another key", POLL_SECONDS)
    assert keys_of(tenant, "shared-wasm-keys")[entry] == key_of(tenant, "s")


def test_a_stack_of_another_namespace_is_refused_until_the_pool_allows_it_and_again_when_it_no_longer_does(
    tenant: Tenant, guest: Tenant
) -> None:
    tenant.apply(build_pool("shared", tenant.namespace))
    borrow(guest, tenant)
    condition = guest.expect_condition("rlmstack", "away", "SandboxPoolReady", "False", says="allowedNamespaces")
    assert condition["reason"] == "PoolNotAllowed"
    expect_entries(tenant, set())
    tenant.patch("sandboxpool", "shared", {"spec": {"allowedNamespaces": [guest.namespace]}})
    entry = f"rlmstack.{guest.namespace}.away"
    assert expect_entries(tenant, {entry})[entry] == key_of(guest, "away")
    guest.expect_condition("rlmstack", "away", "SandboxPoolReady", "False", says="is not ready")
    assert peers(tenant) == [tenant.namespace, guest.namespace]
    egress = guest.expect("networkpolicy", "away-rlm")["spec"]["egress"]
    [sandboxes] = [peer for rule in egress for peer in rule["to"] if "shared-wasm" in str(peer)]
    assert sandboxes["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": tenant.namespace}
    guest.expect("secret", "away-rlm-sandbox-tls")
    tenant.patch("sandboxpool", "shared", {"spec": {"allowedNamespaces": []}})
    expect_entries(tenant, set())
    guest.expect_gone("secret", "away-rlm-sandbox-tls")
    guest.expect_condition("rlmstack", "away", "SandboxPoolReady", "False", says="allowedNamespaces")
    eventually(lambda: peers(tenant) == [tenant.namespace], "the closed policy")


def peers(tenant: Tenant) -> list[str]:
    """Namespaces whose inference pods the pool's policy lets in."""
    rules = tenant.expect("networkpolicy", "shared-wasm")["spec"]["ingress"]
    found: list[str] = []
    for peer in (peer for rule in rules for peer in rule.get("from", []) if POOL_LABEL in str(peer)):
        [selector] = peer.get("namespaceSelector", {}).get("matchExpressions", [{"values": [tenant.namespace]}])
        found += selector["values"]
    return found


def test_the_users_own_key_is_copied_to_stacks_of_other_namespaces_follows_it_and_goes_with_the_permission(
    tenant: Tenant, guest: Tenant
) -> None:
    tenant.create_secret("mine", api_key="the-users-first-key")
    spec = {"auth": {"secretRef": {"name": "mine"}}, "allowedNamespaces": [guest.namespace]}
    tenant.apply(build_pool("shared", tenant.namespace, spec))
    borrow(guest, tenant)
    eventually(lambda: key_of(guest, "away") == "the-users-first-key", "the copied key", POLL_SECONDS)
    tenant.patch("secret", "mine", {"stringData": {"api-key": "the-users-second-key"}})
    eventually(lambda: key_of(guest, "away") == "the-users-second-key", "the changed key", POLL_SECONDS)
    assert keys_of(tenant, "mine") == {"api-key": "the-users-second-key"}
    guest.expect("secret", "away-rlm-sandbox-tls")
    tenant.patch("sandboxpool", "shared", {"spec": {"allowedNamespaces": []}})
    for secret in ("away-rlm-sandbox-key", "away-rlm-sandbox-tls"):
        guest.expect_gone("secret", secret)
