"""Certificates and kubeconfig files of the tests' control plane, made with the openssl command.

One authority signs everything: the API server's own certificate, and a client certificate per identity, whose common
name is the user and whose organisation is the group, as Kubernetes reads them. So RBAC decides over real identities.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from tests.controlplane.errors import StartError

DAYS: Final = "2"  # a test run's life and a margin for clocks


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path


@dataclass(frozen=True)
class ServiceAccountKeys:
    """The pair that signs and verifies service account tokens."""

    public: Path
    private: Path


class Authority:
    """Signs certificates into `folder`; its own is `ca.crt`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.own = Certificate(folder / "ca.crt", folder / "ca.key")
        _openssl(
            "req", "-x509", *_new_key(self.own.key), "-out", self.own.certificate, "-subj", "/CN=ca", "-days", DAYS
        )

    def server(self, name: str, alternatives: tuple[str, ...]) -> Certificate:
        """A serving certificate for `alternatives`, each as openssl writes them: `DNS:localhost`, `IP:127.0.0.1`."""
        return self._sign(name, f"/CN={name}", "serverAuth", f"subjectAltName={','.join(alternatives)}")

    def client(self, user: str, group: str | None = None) -> Certificate:
        """A client certificate that the API server reads as `user`, member of `group`."""
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        return self._sign(user.replace(":", "-"), subject, "clientAuth")

    def service_account_keys(self) -> ServiceAccountKeys:
        keys = ServiceAccountKeys(self._folder / "sa.pub", self._folder / "sa.key")
        _openssl("genrsa", "-out", keys.private, "2048")
        _openssl("rsa", "-in", keys.private, "-pubout", "-out", keys.public)
        return keys

    def _sign(self, name: str, subject: str, usage: str, *extensions: str) -> Certificate:
        made = Certificate(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        extension_file = self._folder / f"{name}.ext"
        lines = [
            "basicConstraints=CA:FALSE",
            "keyUsage=digitalSignature,keyEncipherment",
            f"extendedKeyUsage={usage}",
            *extensions,
        ]
        extension_file.write_text("\n".join(lines) + "\n")
        _openssl("req", "-new", *_new_key(made.key), "-out", request, "-subj", subject)
        authority = ("-CA", self.own.certificate, "-CAkey", self.own.key, "-CAcreateserial")
        _openssl(
            "x509", "-req", "-in", request, *authority, "-days", DAYS, "-extfile", extension_file, "-out",
            made.certificate,
        )  # fmt: skip  # one line per argument would hide what is said
        return made


def write_kubeconfig(
    path: Path, server: str, authority: Path, *, client: Certificate | None = None, token: str | None = None
) -> Path:
    """A kubeconfig with one context for a client certificate or a bearer token. Returns `path` (mode 0600)."""
    user = (
        {"client-certificate": str(client.certificate), "client-key": str(client.key)} if client else {"token": token}
    )
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(authority)}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path


def _new_key(path: Path) -> tuple[str | Path, ...]:
    return ("-newkey", "rsa:2048", "-nodes", "-keyout", path)


def _openssl(*arguments: str | Path) -> None:
    try:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise StartError("the openssl command is not on PATH; the tests' certificates are made with it") from error
    except subprocess.CalledProcessError as error:
        raise StartError(f"openssl {' '.join(map(str, arguments))} failed:\n{error.stderr}") from error
