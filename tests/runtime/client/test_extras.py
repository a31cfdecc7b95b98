"""What `runtime.client` needs for which of its names. Each in a process of its own, where a package is not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import runtime.client

BLOCK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def run_without(blocked: set[str], code: str) -> str:
    """The last line of what went wrong, or "" when nothing did."""
    program = BLOCK.format(blocked=blocked) + code
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    return ran.stderr.strip().rpartition("\n")[2]


def test_remote_repl_needs_neither_the_inference_plane_nor_a_library_to_plug_into() -> None:
    absent = {"openai", "jsonschema_rs", "obstore", "rlm", "dspy"}
    assert run_without(absent, "from runtime.client import RemoteREPLEnv\nRemoteREPLEnv().close()") == ""


@pytest.mark.parametrize(
    ("name", "absent", "extra"),
    [
        ("RLM_REPL", "openai", "inference"),
        ("SandboxREPL", "rlm", "rlms"),
        ("SandboxRLM", "rlm", "rlms"),
        ("SandboxInterpreter", "dspy", "dspy"),
    ],
)
def test_name_whose_package_is_missing_says_what_to_install(name: str, absent: str, extra: str) -> None:
    said = run_without({absent}, f"from runtime.client import {name}")
    assert said.startswith(f"ImportError: {name} needs the package {absent}")
    assert said.endswith(f'pip install "rlm-operator[{extra}]"')


def test_unknown_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        runtime.client.Nothing  # noqa: B018  # asking for it is the test
