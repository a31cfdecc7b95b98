"""Where the sandbox is and how to get in: the arguments of a client, else what the environment says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from runtime.inference.sandbox_client import SandboxClient
from runtime.inference.sandbox_tls import open_sandbox_tls
from runtime.tls import TlsFolder

DEFAULT_SERVICE_URL: Final = "http://wasm-repl-service:8000"


@dataclass(frozen=True)
class PoolAddress:
    url: str
    key_file: Path | None
    tls: TlsFolder | None

    @classmethod
    def find(cls, wasm_service_url: str | None, api_key_file: Path | str | None, tls_dir: Path | str | None) -> Self:
        """What is None comes from WASM_SERVICE_URL (else the name of the cluster's service), WASM_API_KEY_FILE and
        WASM_TLS_DIR. Raises ValueError when the TLS folder cannot be used."""
        url = wasm_service_url or os.environ.get("WASM_SERVICE_URL") or DEFAULT_SERVICE_URL
        key_file = _path(api_key_file, "WASM_API_KEY_FILE")
        return cls(url, key_file, open_sandbox_tls(url, _path(tls_dir, "WASM_TLS_DIR")))

    def connect(self, patience: float) -> SandboxClient:
        """Inside a running event loop. `patience`: seconds to keep asking a pool that is busy."""
        tls = self.tls.following_context() if self.tls is not None else None
        return SandboxClient(self.url, self.key_file, patience, tls)


def _path(given: Path | str | None, variable: str) -> Path | None:
    path = given or os.environ.get(variable)
    return Path(path) if path else None
