"""Secrets of a namespace as folders, kept up to date as kubelets keep the volumes of pods: all files of a Secret change
in one moment, by the swap of a symlink, and some later than others.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Set
from pathlib import Path
from typing import Final

from tests.operator.integration.tenant import Tenant

_PERIOD_SECONDS: Final = 0.3

Files = dict[str, bytes]


class MountedSecrets:
    """One folder per Secret below `folder`; `history` has every content that was mounted, oldest first.

    `late`: Secrets whose changes are mounted `late_seconds` after they were seen, by the kubelet of another node.
    """

    def __init__(
        self, tenant: Tenant, folder: Path, names: list[str], late: Set[str] = frozenset(), late_seconds: float = 0.0
    ) -> None:
        self._tenant = tenant
        self._folder = folder
        self._names = names
        self._late = late
        self._late_seconds = late_seconds
        self._seen: dict[str, tuple[Files, float]] = {}
        self._stop = threading.Event()
        self.history: dict[str, list[Files]] = {name: [] for name in names}

    def path(self, name: str) -> Path:
        return self._folder / name

    def sync(self) -> None:
        """Once. All Secrets must exist."""
        now = time.monotonic()
        read = self._tenant.kubectl.run("get", "secret", *self._names, "-n", self._tenant.namespace, "-o", "json")
        for secret in json.loads(read)["items"]:
            name = secret["metadata"]["name"]
            files = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
            if self._is_due(name, files, now) and self.history[name][-1:] != [files]:
                self._swap(self.path(name), files)
                self.history[name].append(files)

    def run(self) -> None:
        """Again and again, until `stop`."""
        while not self._stop.wait(_PERIOD_SECONDS):
            self.sync()

    def stop(self) -> None:
        self._stop.set()

    def distinct(self, name: str, entry: str) -> list[bytes]:
        """Values of an entry in the order in which they came."""
        return list(dict.fromkeys(files[entry] for files in self.history[name]))

    def _is_due(self, name: str, files: Files, now: float) -> bool:
        """What is mounted first is there at once."""
        if name not in self._seen or self._seen[name][0] != files:
            self._seen[name] = files, now
        late = name in self._late and self.history[name]
        return not late or now >= self._seen[name][1] + self._late_seconds

    def _swap(self, folder: Path, files: Files) -> None:
        version = folder / f"..{secrets.token_hex(8)}"
        version.mkdir(parents=True)
        for name, content in files.items():
            (version / name).write_bytes(content)
        link = folder / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(folder / "..data")
        for name in files:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        for gone in [path for path in folder.iterdir() if not path.name.startswith("..") and path.name not in files]:
            gone.unlink()
