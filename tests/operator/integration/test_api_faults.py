"""An API server that answers wrongly, or not at all: nothing is lost, and the operator works again by itself.

The operator is connected by a proxy that makes the faults. Where kopf can not go on after one, the operator ends by
itself with status 1, and is started again as a kubelet would do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.proxy import FaultProxy
from tests.operator.integration.installation import Installation
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.recoveries import Recoveries
from tests.operator.integration.samples import build_stack
from tests.operator.integration.tenant import Tenant

FREQUENT_SECONDS = 2
GONE = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "reason": "Expired",
    "code": 410,
    "message": "too old",
}

WRITES = {
    "409 on a child": (r"PATCH \S*/configmaps/", 409, {}),
    "409 on a status": (r"PATCH \S*/rlmstacks/\S*/status", 409, {}),
    "409 on a Secret": (r"POST \S*/secrets", 409, {}),
    "429 on a child": (r"PATCH \S*/deployments/", 429, {"Retry-After": "2"}),
    "429 on a status": (r"PATCH \S*/sandboxpools/\S*/status", 429, {"Retry-After": "2"}),
    "500 on a Secret": (r"POST \S*/secrets", 500, {}),
    "500 on a read": (r"GET \S*/namespaces/\S*/(rlmstacks|sandboxpools)/", 500, {}),
    "503 on whatever is asked": ("", 503, {}),
}
WATCHES = {
    "410 as an answer": (410, None),
    "410 in the stream": (200, json.dumps({"type": "ERROR", "object": GONE}).encode() + b"\n"),
    "400": (400, None),
    "404": (404, None),
    "429": (429, None),
    "500": (500, None),
    "bytes that are no event": (200, b"<html>no\n"),
}


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    with FaultProxy(control_plane.url, control_plane.authority) as running:
        yield running


@pytest.fixture
def proxied(
    proxy: FaultProxy,
    unserved: Tenant,
    running_operator: OperatorProcess,
    control_plane: ControlPlane,
    installation: Installation,
    tmp_path: Path,
) -> Iterator[OperatorProcess]:
    """An operator behind the proxy, not started; the session's does not run meanwhile."""
    if running_operator.is_running:
        running_operator.stop()
    account = (installation.namespace, installation.service_account)
    kubeconfig = control_plane.service_account_kubeconfig(*account, server=proxy.url)
    process = OperatorProcess(kubeconfig, installation.user, tmp_path / "proxied.log", installation.namespace)
    yield process
    if process.is_running:
        process.stop()


@pytest.fixture
def served(proxied: OperatorProcess, unserved: Tenant) -> Tenant:
    """A namespace with the complete stack `s`."""
    proxied.start()
    unserved.apply(build_stack("s", unserved.namespace))
    unserved.expect_condition("rlmstack", "s", "SecretsReady", "True")
    unserved.expect("service", "s-wasm")
    return unserved


@pytest.mark.parametrize("case", WRITES)
def test_a_request_that_fails_is_made_again(
    served: Tenant, proxy: FaultProxy, recoveries: Recoveries, case: str
) -> None:
    pattern, status, headers = WRITES[case]
    fault = proxy.fail(pattern, status, times=3, headers=headers)
    with recoveries.measure(f"{case}, three times, until a new stack is complete"):
        served.apply(build_stack("later", served.namespace))
        for resource, name in (("deployment", "later-rlm"), ("deployment", "later-wasm"), ("configmap", "later-rlm")):
            served.expect(resource, name)
        served.expect_condition("rlmstack", "later", "SecretsReady", "True")
        served.expect_condition("sandboxpool", "later", "SecretsReady", "True")
    assert len(fault.answered) == 3
    if "Retry-After" in headers:
        gaps = proxy.gaps(fault)
        assert gaps
        assert min(gaps) >= float(headers["Retry-After"])


@pytest.mark.parametrize("case", WATCHES)
def test_a_watch_that_fails_loses_nothing(
    served: Tenant, proxied: OperatorProcess, proxy: FaultProxy, recoveries: Recoveries, case: str
) -> None:
    status, body = WATCHES[case]
    fault = proxy.fail(r"GET \S*/configmaps\?\S*watch=true", status, body=body)
    with recoveries.measure(f"a watch that gets {case}, until a change is served"):
        proxy.cut()
        eventually(lambda: fault.answered, "the fault")
        served.patch("configmap", "s-rlm", {"data": {"max-iterations": "9999"}})
        served.delete("service", "s-wasm")
        eventually(lambda: is_repaired(served, proxied), "the repair")


def is_repaired(served: Tenant, proxied: OperatorProcess) -> bool:
    """Starts the operator again where it ended by itself."""
    if proxied.has_ended:
        assert proxied.stop() == 1
        proxied.start()
    found = served.get("configmap", "s-rlm")
    repaired = found is not None and found["data"]["max-iterations"] == "30"
    return repaired and served.get("service", "s-wasm") is not None


def test_connections_that_are_cut_again_and_again_lose_nothing(
    served: Tenant, proxied: OperatorProcess, proxy: FaultProxy
) -> None:
    for number in range(5):
        served.apply(build_stack(f"cut-{number}", served.namespace))
        proxy.cut()
    for number in range(5):
        served.expect("deployment", f"cut-{number}-rlm")
        served.expect("deployment", f"cut-{number}-wasm")
    assert not proxied.has_ended


def test_a_silent_watch_is_made_good_by_lists_and_told_by_the_liveness_probe(
    proxied: OperatorProcess, unserved: Tenant, proxy: FaultProxy, recoveries: Recoveries
) -> None:
    proxied.start(resync_seconds=FREQUENT_SECONDS)
    unserved.apply(build_stack("s", unserved.namespace))
    unserved.expect_condition("rlmstack", "s", "SecretsReady", "True")
    assert proxied.fetch("/healthz") == "ok\n"
    with proxy.stalled(r"\S*/services\?\S*watch=true"):
        with recoveries.measure(f"a child deleted while its watch is silent, lists every {FREQUENT_SECONDS} s"):
            unserved.delete("service", "s")
            unserved.expect("service", "s")

        def is_told() -> bool:
            unserved.kubectl.run("delete", "service", "s", "-n", unserved.namespace, "--ignore-not-found")
            return "the watch of Service is silent" in proxied.trouble("/healthz")

        with recoveries.measure("a silent watch, until the liveness probe fails"):
            eventually(is_told, "the liveness probe")


def test_a_refusal_of_a_megabyte_is_cut_in_status_and_log(
    served: Tenant, proxied: OperatorProcess, proxy: FaultProxy
) -> None:
    words = json.dumps({"kind": "Status", "reason": "Invalid", "message": "refused " * 131_072, "code": 422}).encode()
    before = len(proxied.log_text())
    proxy.fail(r"PATCH \S*/configmaps/big-rlm", 422, times=3, body=words)
    served.apply(build_stack("big", served.namespace))
    condition = served.expect_condition("rlmstack", "big", "Ready", "False", says="refused refused")
    assert len(condition["message"]) <= 2048
    served.expect("configmap", "big-rlm")
    assert len(json.dumps(served.expect("rlmstack", "big")["status"])) < 32_000
    assert len(proxied.log_text()) - before < 100_000
