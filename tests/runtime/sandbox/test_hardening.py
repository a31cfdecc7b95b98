"""Each measure tried for real: a hardened process attempts what it forbids."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from runtime.sandbox.hardening import prepare
from runtime.sandbox.seccomp import build_filter

KILLED = -signal.SIGSYS


async def attempt(name: str, *without: str) -> tuple[int, str]:
    """(exit status, what was printed); `without` leaves out measures so that another one is seen."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.runtime.sandbox.hardened_attempt",
        name,
        *without,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode or 0, out.decode().strip()


@pytest.mark.parametrize("name", ["nothing", "read and write its own descriptors", "fork"])
async def test_what_a_session_needs_is_allowed(name: str) -> None:
    assert await attempt(name) == (0, "did it")


@pytest.mark.parametrize(
    "name",
    [
        "open",
        "list",
        "socket",
        "connect",
        "execve",
        "kill",
        "kill itself",
        "ptrace",
        "process_vm_readv",
        "unshare",
        "mount",
        "setuid",
        "prctl",
        "bpf",
        "io_uring",
        "create a file",
        "raise a limit",
    ],
)
async def test_any_other_system_call_kills_the_process(name: str) -> None:
    assert await attempt(name) == (KILLED, "")


async def test_threads_and_executable_memory_are_refused_or_fatal() -> None:
    for name in ("thread", "executable memory"):
        code, printed = await attempt(name)
        assert code == KILLED or printed.startswith("refused"), (name, code, printed)


@pytest.mark.parametrize("name", ["open", "list", "create a file", "connect"])
async def test_without_seccomp_landlock_refuses_files_and_connections(name: str) -> None:
    assert prepare(256, build_filter()).landlock is not None, "this kernel offers no Landlock"
    code, printed = await attempt(name, "seccomp")
    assert (code, printed) in {(0, "refused EACCES"), (0, "refused EPERM")}


async def test_without_seccomp_the_limits_hold() -> None:
    assert await attempt("many descriptors", "seccomp") == (0, "refused EMFILE")
    code, printed = await attempt("create a file", "seccomp", "landlock")
    assert code == -signal.SIGXFSZ or printed in ("refused EFBIG", "refused EACCES"), (code, printed)
    assert await attempt("raise a limit", "seccomp") in {(0, "refused EPERM"), (0, "refused ValueError")}


async def test_without_seccomp_the_number_of_processes_of_a_session_is_bounded() -> None:
    if os.geteuid() == 0:
        assert await attempt("many processes", "seccomp") == (0, "refused EAGAIN")
    else:
        assert any("own uid" in measure for measure in prepare(256, build_filter()).missing)


def test_what_cannot_be_had_is_reported() -> None:
    hardening = prepare(256, build_filter())
    assert hardening.set_uid == (os.geteuid() == 0)
    assert ("own uid" in " ".join(hardening.missing)) == (os.geteuid() != 0)
    assert ("Landlock" in " ".join(hardening.missing)) == (hardening.landlock is None)
