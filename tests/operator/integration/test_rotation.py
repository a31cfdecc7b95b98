"""Certificates rotate under traffic: leaves several times and the authority once, without one failed request.

The operator issues them with short lives for a real sandbox service and a real inference process, whose folders follow
the operator's Secrets as volumes of pods do.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from cryptography import x509

from runtime.tls import TlsFolder
from runtime.tls_files import Side
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.process import Process
from tests.operator.integration.mounted_secrets import MountedSecrets
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_stack
from tests.operator.integration.tenant import Tenant
from tests.ports import free_port
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox
from tests.runtime.inference.scripted_model import ScriptedModel

LIVES: Final = {"certificate_seconds": 24, "authority_seconds": 48, "certificate_settle_seconds": 6}
LATE_SECONDS: Final = 2.5  # the client's node learns of changes after the server's, within the time to settle
ROTATION_SECONDS: Final = 200.0
USER_KEY: Final = "a-key-of-the-user"
ANSWER: Final = "```repl\nFINAL(str(len(context)))\n```"
KEYS, STACK_KEY, SERVER, CLIENT = "s-wasm-keys", "s-rlm-sandbox-key", "s-wasm-tls", "s-rlm-sandbox-tls"


@dataclass
class Traffic:
    """Requests until `ended`; `failures` in words."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    runs: int = 0
    handshakes: int = 0
    failures: list[str] = field(default_factory=list)

    async def ask(self, url: str) -> None:
        """Runs of the inference plane, a few at a time."""
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {USER_KEY}"}) as http:

            async def one() -> None:
                async with http.post(f"{url}/rlm/v1/runs", json={"query": "q", "context": "abc"}) as response:
                    body = await response.json()
                    if response.status != 200 or body["answer"] != "3":
                        self.failures.append(f"run: {response.status} {body}")
                    self.runs += 1

            while not self.ended.is_set():
                await asyncio.gather(*(one() for _ in range(3)))
                await self._pause(0.2)

    async def dial(self, sandbox: str, folder: Path, host: str, key: Path) -> None:
        """A new connection to the sandbox each time, with the stack's certificate and key."""
        context = TlsFolder("WASM_TLS_DIR", folder, Side.CLIENT).following_context()
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http:
            while not self.ended.is_set():
                headers = bearer(key)
                try:
                    async with http.get(f"{sandbox}/sessions/none", headers=headers, server_hostname=host) as response:
                        if response.status != 404:  # authenticated, and there is no such session
                            self.failures.append(f"dial: {response.status} {await response.text()}")
                except aiohttp.ClientError as error:
                    self.failures.append(f"dial: {error!r}")
                self.handshakes += 1
                await self._pause(0.05)

    async def _pause(self, seconds: float) -> None:
        """So that the services and the operator share the machine."""
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            return


@pytest.fixture
def hurried(operator: OperatorProcess) -> Iterator[None]:
    """The operator issues certificates that live for seconds."""
    assert operator.stop() == 0
    operator.start(**LIVES)
    yield
    assert operator.restart() == 0


@pytest.fixture
def mounts(tenant: Tenant, hurried: None, tmp_path: Path) -> MountedSecrets:
    """The Secrets of the stack `s` and its pool, mounted once."""
    tenant.apply(build_stack("s", tenant.namespace, {"inference": {"replicas": 0}, "sandbox": {"replicas": 0}}))
    for name in (KEYS, STACK_KEY, SERVER, CLIENT):
        tenant.expect("secret", name)
    entry = f"rlmstack.{tenant.namespace}.s"
    eventually(lambda: entry in tenant.expect("secret", KEYS)["data"], "the stack's key in the pool")
    names = [KEYS, STACK_KEY, SERVER, CLIENT]
    mounts = MountedSecrets(tenant, tmp_path / "mounts", names, late={CLIENT}, late_seconds=LATE_SECONDS)
    mounts.sync()
    return mounts


@pytest.fixture
def sandbox(mounts: MountedSecrets, tmp_path: Path) -> Iterator[SandboxProcess]:
    folders = {"SANDBOX_TLS_DIR": str(mounts.path(SERVER)), "SANDBOX_API_KEYS_DIR": str(mounts.path(KEYS))}
    with run_sandbox(tmp_path, SANDBOX_METRICS_PORT="0", **folders) as process:
        yield process


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    scripted = ScriptedModel()
    await scripted.start()
    scripted.child_rule = lambda _: ANSWER
    yield scripted
    await scripted.stop()


@pytest.fixture
def inference(
    mounts: MountedSecrets, sandbox: SandboxProcess, model: ScriptedModel, tenant: Tenant, tmp_path: Path
) -> Iterator[str]:
    """Address of the inference process."""
    keys = tmp_path / "user-keys"
    keys.mkdir()
    (keys / "user").write_text(USER_KEY)
    port = free_port()
    settings = {
        "RLM_MODEL_NAME": "root-model",
        "RLM_MODEL_BASE_URL": model.base_url,
        "RLM_PORT": str(port),
        "RLM_API_KEYS_DIR": str(keys),
        "WASM_SERVICE_URL": f"https://{service_host(tenant)}:{sandbox.url.rpartition(':')[2]}",
        "WASM_API_KEY_FILE": str(mounts.path(STACK_KEY) / "api-key"),
        "WASM_TLS_DIR": str(mounts.path(CLIENT)),
    }
    command = [sys.executable, "-m", "tests.operator.integration.cluster_dns", "runtime.inference"]
    environment = [f"{name}={value}" for name, value in settings.items()]
    process = Process("inference", ["env", *environment, *command], tmp_path / "inference.log")
    try:
        process.wait_until(lambda: '"listening"' in (tmp_path / "inference.log").read_text(), 60.0, "its first line")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


def bearer(key: Path) -> dict[str, str]:
    """Read anew, as it may be rotated too."""
    return {"Authorization": f"Bearer {key.read_text()}"}


def service_host(tenant: Tenant) -> str:
    return f"s-wasm-pods.{tenant.namespace}.svc"


def is_rotated(mounts: MountedSecrets) -> bool:
    """Three certificates of each end, and an authority that came, was trusted beside the first, and is alone now."""
    bundles = [x509.load_pem_x509_certificates(bundle) for bundle in mounts.distinct(SERVER, "ca.crt")]
    leaves = [len(mounts.distinct(name, "tls.crt")) for name in (SERVER, CLIENT)]
    return min(leaves) >= 3 and [len(bundle) for bundle in bundles[:3]] == [1, 2, 1]


@pytest.mark.timeout(400)
async def test_certificates_and_their_authority_rotate_under_traffic_without_a_failed_request(
    control_plane: ControlPlane, tenant: Tenant, mounts: MountedSecrets, sandbox: SandboxProcess, inference: str
) -> None:
    traffic = Traffic()
    kubelet = asyncio.create_task(asyncio.to_thread(mounts.run))
    key = mounts.path(STACK_KEY) / "api-key"
    requests = [
        asyncio.create_task(traffic.ask(inference)),
        asyncio.create_task(traffic.dial(sandbox.url, mounts.path(CLIENT), service_host(tenant), key)),
    ]
    try:
        await asyncio.to_thread(eventually, lambda: is_rotated(mounts), "the rotation", ROTATION_SECONDS)
        enough = traffic.handshakes + 20
        await asyncio.to_thread(eventually, lambda: traffic.handshakes >= enough or traffic.failures, "more requests")
    finally:
        traffic.ended.set()
        mounts.stop()
        await asyncio.gather(*requests, kubelet)
    assert traffic.failures == []
    first, _, last = (x509.load_pem_x509_certificates(each) for each in mounts.distinct(SERVER, "ca.crt")[:3])
    assert first != last
    ready = tenant.expect_condition("sandboxpool", "s", "CertificatesReady", "True", says="valid until")
    assert ready["reason"] == "CertificateIssued"
