"""The adapters for `rlms` and `dspy`, tested where those are installed: an environment of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.locked_environment import install_environment
from tests.runtime.inference.sandbox_process import SandboxProcess

ROOT = Path(__file__).parents[3]
# Both libraries leave connections to the garbage collector, and warn of what they import.
IGNORED = ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning", "DeprecationWarning")


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "adapters").glob("test_*.py")), ids=lambda path: path.stem)
def test_adapter_tests_pass_where_the_libraries_are_installed(path: Path, in_cluster: SandboxProcess) -> None:
    python = install_environment("adapters") / "bin" / "python"
    ran = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"-Wignore::{name}" for name in IGNORED), path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-5_000:]
