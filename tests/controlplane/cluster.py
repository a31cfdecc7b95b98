"""The control plane itself: starts etcd, kube-apiserver and kube-controller-manager on loopback ports, and stops them.

`fixture` holds one for a test session. All three listen on 127.0.0.1 only, RBAC is on, and everything they write is in
one folder: `pki/`, `log/` (kept for the reader of a failed run) and `etcd/` (removed at the stop).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.controlplane.audit import POLICY, AuditLog
from tests.controlplane.binaries import Binaries
from tests.controlplane.errors import KubectlError, StartError
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Kubectl
from tests.controlplane.pki import Authority, Certificate, write_kubeconfig
from tests.controlplane.process import Process
from tests.ports import free_port

ACCOUNT_SECONDS: Final = 180.0
"""After a restart of etcd the controller manager may see a new namespace only a minute later (61 s were seen)."""
START_SECONDS: Final = 90.0
SERVICE_RANGE: Final = "10.96.0.0/16"
ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
SERVER_NAMES: Final = (
    "DNS:localhost",
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    "IP:127.0.0.1",
)


class ControlPlane:
    """A context manager: up between enter and exit. `admin` is kubectl as a cluster administrator."""

    def __init__(self, binaries: Binaries, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._pki = folder / "pki"
        self._log = folder / "log"
        for made in (self._pki, self._log):
            made.mkdir(parents=True)
        self._authority = Authority(self._pki)
        self._etcd_port, self._etcd_peer_port, self._api_port = free_port(), free_port(), free_port()
        self._processes: list[Process] = []
        self.url = f"https://127.0.0.1:{self._api_port}"
        self.authority = self._authority.own.certificate
        self.audit = AuditLog(self._log / "audit.log")
        self.admin = self.kubectl(self.client_kubeconfig("admin", "system:masters"))

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def kubectl(self, kubeconfig: Path) -> Kubectl:
        """kubectl as whoever `kubeconfig` names."""
        return Kubectl(self._binaries.kubectl, kubeconfig, self._folder / "kubectl-cache")

    def service_account_kubeconfig(self, namespace: str, name: str, *, server: str | None = None) -> Path:
        """A kubeconfig with a fresh token (valid for two hours) of an existing ServiceAccount.

        `server`: a proxy's URL, instead of the API server's own.
        """
        token = self.admin.run("create", "token", name, "-n", namespace, "--duration=2h").strip()
        path = self._folder / f"{namespace}-{name}{'-by-proxy' if server else ''}.conf"
        return write_kubeconfig(path, server or self.url, self.authority, token=token)

    def client_kubeconfig(self, user: str, group: str | None = None) -> Path:
        """A kubeconfig whose client certificate says `user`, member of `group`."""
        path = self._folder / f"{user.replace(':', '-')}.conf"
        return write_kubeconfig(path, self.url, self.authority, client=self._authority.client(user, group))

    def serving_certificate(self, name: str, alternatives: tuple[str, ...]) -> Certificate:
        """For a server of the tests' own, signed by `authority`."""
        return self._authority.server(name, alternatives)

    def restart_api_server(self) -> None:
        """Kills the API server and starts it again on the same port: every watch is cut. Returns when it is ready."""
        api_server = self._process("kube-apiserver")
        api_server.restart()
        api_server.wait_until(self._is_api_ready, START_SECONDS, "an answer from /readyz")

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """Inside the block there is no API server: it was killed, and its port refuses connections."""
        api_server = self._process("kube-apiserver")
        api_server.kill()
        try:
            yield
        finally:
            api_server.restart()
            api_server.wait_until(self._is_api_ready, START_SECONDS, "an answer from /readyz")

    @contextmanager
    def frozen_api_server(self) -> Iterator[None]:
        """Inside the block the API server accepts connections and answers nothing."""
        api_server = self._process("kube-apiserver")
        api_server.freeze()
        try:
            yield
        finally:
            api_server.thaw()
            api_server.wait_until(self._is_api_ready, START_SECONDS, "an answer from /readyz")

    def restart_etcd(self) -> None:
        """Kills etcd and starts it again with its data. Returns when the API server is ready again."""
        etcd = self._process("etcd")
        etcd.restart()
        etcd.wait_until(self._is_api_ready, START_SECONDS, "an answer from /readyz")

    def stop(self) -> None:
        """Ends the processes, last started first, and removes the data. Calling it again does nothing more."""
        for process in reversed(self._processes):
            process.stop()
        shutil.rmtree(self._folder / "etcd", ignore_errors=True)

    def _start(self) -> None:
        self._start_etcd()
        api_server = self._start_api_server()
        api_server.wait_until(self._is_api_ready, START_SECONDS, "an answer from /readyz")
        controllers = self._start_controllers()
        controllers.wait_until(self._has_default_account, START_SECONDS, "a default ServiceAccount")

    def _start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self._etcd_port}"
        self._run(
            self._binaries.etcd,
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls=http://127.0.0.1:{self._etcd_peer_port}",
            "--unsafe-no-fsync",
        )

    def _start_api_server(self) -> Process:
        serving = self._authority.server("kube-apiserver", SERVER_NAMES)
        tokens = self._authority.service_account_keys()
        return self._run(
            self._binaries.kube_apiserver,
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._api_port}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self.authority}",
            f"--service-account-key-file={tokens.public}",
            f"--service-account-signing-key-file={tokens.private}",
            f"--service-account-issuer={ISSUER}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=RBAC",
            # Off by default, but on in stricter clusters: owner references that block need rights of their own.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            "--endpoint-reconciler-type=none",  # its endpoint would be a loopback address, which is refused
            f"--audit-policy-file={POLICY}",
            f"--audit-log-path={self._log / 'audit.log'}",
            "--audit-log-maxsize=4096",  # MB: at 100, the default, the API server would begin another file
        )

    def _start_controllers(self) -> Process:
        kubeconfig = self.client_kubeconfig("system:kube-controller-manager")
        return self._run(
            self._binaries.kube_controller_manager,
            f"--kubeconfig={kubeconfig}",
            "--secure-port=0",
            f"--service-account-private-key-file={self._pki / 'sa.key'}",
            f"--root-ca-file={self.authority}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--horizontal-pod-autoscaler-sync-period=5s",
        )

    def _run(self, program: Path, *flags: str) -> Process:
        process = Process(program.name, [program, *flags], self._log / f"{program.name}.log")
        self._processes.append(process)
        return process

    def _process(self, name: str) -> Process:
        [found] = [process for process in self._processes if process.name == name]
        return found

    def _is_api_ready(self) -> bool:
        try:
            return self.admin.run("get", "--raw", "/readyz") == "ok"
        except KubectlError:
            self._check_alive()
            return False

    def _has_default_account(self) -> bool:
        self._check_alive()
        return self.admin.get("serviceaccount", "default", "default") is not None

    def _check_alive(self) -> None:
        for process in self._processes:
            if process.returncode is not None:
                raise StartError(f"{process.name} ended with status {process.returncode}\n{process.log_tail()}")


def create_namespace(kubectl: Kubectl, name: str) -> str:
    """A namespace in which pods may be created: waits for its default ServiceAccount. Returns `name`."""
    kubectl.run("create", "namespace", name)
    account = f"the default ServiceAccount of {name}"
    eventually(lambda: kubectl.get("serviceaccount", "default", name), account, ACCOUNT_SECONDS)
    return name
