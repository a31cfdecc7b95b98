"""A package index of wheels that a test makes: a folder, to which pip is pointed instead of the network."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PURE = "py3-none-any"


@dataclass(frozen=True)
class LocalIndex:
    folder: Path

    def add(
        self,
        name: str,
        version: str,
        files: Mapping[str, str] | None = None,
        *requires: str,
        tag: str = PURE,
        **more: str,
    ) -> Path:
        """A wheel with one module of the package's name unless `files` says otherwise; `more` is further metadata."""
        folder = f"{name}-{version}.dist-info"
        metadata = {"Metadata-Version": "2.4", "Name": name, "Version": version, **more}
        lines = [f"{key.replace('_', '-')}: {value}" for key, value in metadata.items()]
        lines += [f"Requires-Dist: {each}" for each in requires]
        content = {
            **(files or {f"{name}.py": f"VERSION = {version!r}\n"}),
            f"{folder}/METADATA": "\n".join(lines) + "\n",
            f"{folder}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
            f"{folder}/RECORD": "",
        }
        path = self.folder / f"{name}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in content.items():
                archive.writestr(member, text)
        return path


def sha256(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalIndex:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return LocalIndex(folder)
