"""What is left to JavaScript that has all of Node, as after an escape from Pyodide: `escaped/driver.mjs` runs in the
real driver's place, under everything that `node_process` takes away, and tries."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from runtime.sandbox.hardening import Hardening, prepare
from runtime.sandbox.pyodide.installation import Installation
from runtime.sandbox.pyodide.node_process import node_hardening, prepare_node
from runtime.sandbox.pyodide.pipes import NodePipes
from runtime.sandbox.seccomp import build_filter

ESCAPED: Final = Path(__file__).parent / "escaped"
DENIED: Final = ("EACCES", "EPERM", "ENOSYS")


def outcomes_in_node(installation: Installation, hardening: Hardening) -> dict[str, str]:
    """What the attempts came to; the pipes' end is the end of Node."""
    from_test, to_node = os.pipe()
    from_node, to_test = os.pipe()
    start = replace(prepare_node(installation, hardening), driver=os.open(ESCAPED, os.O_RDONLY))
    if os.fork() == 0:
        try:
            start.execute(os.getpid() % 10_000, from_test, to_test)
        finally:
            os._exit(1)
    os.close(from_test)
    os.close(to_test)
    message = NodePipes(from_node, to_node).receive()
    os.close(from_node)
    os.close(to_node)
    outcomes = json.loads(message.body)
    assert isinstance(outcomes, dict)
    return outcomes


@pytest.fixture(scope="module")
def outcomes(installation: Installation) -> dict[str, str]:
    return outcomes_in_node(installation, node_hardening(prepare(256, build_filter())))


@pytest.mark.parametrize(
    "attempt",
    [
        "read a file",
        "list a folder",
        "write a file",
        "read another process's environment",
        "read another process's memory",
        "start a program",
        "start Node again",
        "signal its parent",
        "signal everybody",
        "become root",
        "connect",
        "connect to a socket file",
    ],
)
def test_escaped_javascript_is_refused_by_the_kernel(outcomes: dict[str, str], attempt: str) -> None:
    assert outcomes[attempt] in DENIED


def test_code_from_strings_and_native_modules_are_off(outcomes: dict[str, str]) -> None:
    assert outcomes["code from a string"] == "EvalError"
    assert outcomes["load a native module"] == "ERR_DLOPEN_DISABLED"


def test_its_environment_holds_three_settings_of_ours_and_nothing_of_the_servers(outcomes: dict[str, str]) -> None:
    assert outcomes["environment"] == "OPENSSL_CONF TZ UV_THREADPOOL_SIZE"


def test_what_a_session_needs_is_allowed(outcomes: dict[str, str]) -> None:
    assert outcomes["what a session needs"].startswith("done ")


def test_without_seccomp_landlock_alone_still_refuses_files_connections_and_signals(installation: Installation) -> None:
    hardening = replace(node_hardening(prepare(256, build_filter())), seccomp=b"")
    outcomes = outcomes_in_node(installation, hardening)
    for attempt in ("read a file", "write a file", "read another process's environment", "connect"):
        assert outcomes[attempt] in ("EACCES", "EPERM"), attempt
