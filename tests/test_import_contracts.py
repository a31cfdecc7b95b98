"""The import contracts hold, and a violation is found: `make check` runs the same linter over the same settings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("runtime", "operator/rlm_operator", "operator/rlmctl")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the packages below `root`, not over the installed ones."""
    command = [
        sys.executable,
        "-c",
        "import sys; sys.path[:0] = ['.', 'operator']; from importlinter.cli import lint_imports_command as run; run()",
    ]
    return subprocess.run([*command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_are_kept_by_the_code_as_it_is(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("runtime/sandbox/admission.py", "import runtime.inference.loop"),
        ("runtime/inference/parsing.py", "import runtime.sandbox.session"),
        ("operator/rlm_operator/names.py", "import runtime.sandbox.settings"),
        ("runtime/wire.py", "import aiohttp"),
        ("runtime/sandbox/service.py", "import wasmtime"),
        ("operator/rlm_operator/render.py", "import kopf"),
    ],
)
def test_a_planted_import_across_a_boundary_is_reported(copy: Path, module: str, statement: str) -> None:
    path = copy / module
    path.write_text(path.read_text(encoding="utf-8") + f"\n{statement}\n", encoding="utf-8")
    result = lint_imports(copy)
    assert result.returncode != 0
    assert "BROKEN" in result.stdout
