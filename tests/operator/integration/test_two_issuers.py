"""Two operators that both work make the same Secrets at the same moment: one authority and one key of each survive.

One of them is slow: it has looked, has decided, and its write is held up while the other one does everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.controlplane.proxy import FaultProxy
from tests.operator.integration.installation import Installation
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_pool, build_stack
from tests.operator.integration.tenant import Tenant
from tests.operator.integration.test_certificates import entries
from tests.operator.integration.test_quiet import await_silence

AUTHORITY: Final = "shared-wasm-ca"
LEAVES: Final = ("shared-wasm-tls", "shared-wasm-client-tls", "s-rlm-sandbox-tls")
KEYS: Final = ("shared-wasm-keys", "s-rlm-keys", "s-rlm-sandbox-key")


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    with FaultProxy(control_plane.url, control_plane.authority) as proxy:
        yield proxy


@pytest.fixture
def both(
    operator: OperatorProcess,
    control_plane: ControlPlane,
    installation: Installation,
    proxy: FaultProxy,
    tmp_path: Path,
) -> Iterator[tuple[OperatorProcess, OperatorProcess]]:
    """The slow one, behind the proxy, and the other; without a Lease, not started. The session's own rests."""
    operator.stop()
    account = (installation.namespace, installation.service_account)
    slow, quick = (
        OperatorProcess(
            control_plane.service_account_kubeconfig(*account, server=server), installation.user, tmp_path / name
        )
        for server, name in ((proxy.url, "slow.log"), (None, "quick.log"))
    )
    yield slow, quick
    for each in (slow, quick):
        if each.is_running:
            assert each.stop() == 0
    operator.ensure_running()


def apply(tenant: Tenant) -> None:
    tenant.apply(
        build_pool("shared", tenant.namespace),
        build_stack("s", tenant.namespace, {"sandboxPoolRef": {"name": "shared"}}),
    )


def authority_of(tenant: Tenant) -> x509.Certificate:
    """The only one."""
    found = entries(tenant.expect("secret", AUTHORITY))
    assert not {"previous.crt", "previous.key"} & found.keys()
    [authority] = x509.load_pem_x509_certificates(found["tls.crt"])
    return authority


def is_settled(tenant: Tenant) -> bool:
    """Every leaf is signed by the authority of now and comes with it, and the pool has the stack's key."""
    issued = [entries(tenant.get("secret", name) or {}) for name in (AUTHORITY, *LEAVES)]
    keys = {name: entries(tenant.get("secret", name) or {}) for name in KEYS}
    if not all("tls.crt" in each for each in issued) or not all(keys.values()):
        return False
    authority, *leaves = [each["tls.crt"] for each in issued]
    return (
        keys["shared-wasm-keys"].get(f"rlmstack.{tenant.namespace}.s") == keys["s-rlm-sandbox-key"]["api-key"]
        and all(each["ca.crt"] == authority for each in issued[1:])
        and all(is_signed(leaf, authority) for leaf in leaves)
    )


def is_signed(leaf: bytes, authority: bytes) -> bool:
    issuer = x509.load_pem_x509_certificate(authority)
    return x509.load_pem_x509_certificate(leaf).issuer == issuer.subject


def secrets_of(tenant: Tenant) -> dict[str, Object]:
    return {name: tenant.expect("secret", name)["data"] for name in (AUTHORITY, *LEAVES, *KEYS)}


def let_both_work(
    tenant: Tenant,
    control_plane: ControlPlane,
    proxy: FaultProxy,
    both: tuple[OperatorProcess, OperatorProcess],
    held: str,
) -> None:
    """Starts the slow one, holds the write that is like `held`, lets the other do everything, and lets go."""
    slow, quick = both
    pattern = held.replace("NAMESPACE", tenant.namespace)
    mark = control_plane.audit.mark()
    with proxy.stalled(pattern):
        slow.start()
        eventually(lambda: proxy.has_seen(pattern), "the slow one's write")
        quick.start()
        eventually(lambda: is_settled(tenant), "what the other one makes")
        before = secrets_of(tenant)
    await_silence(control_plane, slow)
    refused = [
        request
        for request in control_plane.audit.writes(user=slow.user, since=mark)
        if (request.resource, request.namespace, request.code) == ("secrets", tenant.namespace, 409)
    ]
    assert refused  # else they did not meet
    assert secrets_of(tenant) == before
    authority = authority_of(tenant)
    for name in LEAVES:
        issued = entries(tenant.expect("secret", name))
        x509.load_pem_x509_certificate(issued["tls.crt"]).verify_directly_issued_by(authority)
        assert x509.load_pem_x509_certificates(issued["ca.crt"]) == [authority]


def test_of_two_that_make_the_keys_and_certificates_of_a_new_stack_one_succeeds(
    unserved: Tenant, control_plane: ControlPlane, proxy: FaultProxy, both: tuple[OperatorProcess, OperatorProcess]
) -> None:
    apply(unserved)
    let_both_work(unserved, control_plane, proxy, both, r"POST /api/v1/namespaces/NAMESPACE/secrets")


@pytest.mark.parametrize(
    ("damage", "held"),
    [
        ("deleted", r"POST /api/v1/namespaces/NAMESPACE/secrets"),
        ("broken", rf"PATCH /api/v1/namespaces/NAMESPACE/secrets/{AUTHORITY}"),
    ],
)
def test_of_two_that_replace_the_authority_of_a_pool_one_succeeds_and_signs_everything(
    unserved: Tenant,
    control_plane: ControlPlane,
    proxy: FaultProxy,
    both: tuple[OperatorProcess, OperatorProcess],
    damage: str,
    held: str,
) -> None:
    apply(unserved)
    _, quick = both
    quick.start()
    eventually(lambda: is_settled(unserved), "the first certificates")
    first = authority_of(unserved)
    assert quick.stop() == 0
    if damage == "deleted":
        unserved.delete("secret", AUTHORITY)
    else:
        unserved.patch("secret", AUTHORITY, {"data": {"tls.crt": "bm9uc2Vuc2U="}})
    let_both_work(unserved, control_plane, proxy, both, held)
    assert authority_of(unserved) != first
