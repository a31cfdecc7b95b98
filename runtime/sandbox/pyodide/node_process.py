"""Starts Node for one session and takes from it what it does not need, before it loads a byte of its own.

Pyodide's JavaScript can be reached from Python (CVE-2025-68668, CVE-2026-5752), so what holds a guest that does is the
kernel: no file but Node's libraries, Pyodide and the driver, no network, no other process, no new program, and not more
memory. Used by `launcher`, after the fork of a session process.
"""

from __future__ import annotations

import fcntl
import os
import resource
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from runtime.sandbox.hardening import SESSION_LIMITS, Hardening
from runtime.sandbox.pyodide.installation import HERE, Installation
from runtime.sandbox.pyodide.node_seccomp import EXECUTABLE, build_node_filter

# Descriptors in Node; the driver has the same numbers.
FROM_RELAY, TO_RELAY, PACKAGES, DRIVER = range(3, EXECUTABLE)
ABOVE: Final = 64  # where descriptors are moved to while those are being taken
MEGABYTE: Final = 1 << 20

JAVASCRIPT_MEMORY: Final = 128  # MB of JavaScript objects
BESIDES_LINEAR_MEMORY: Final = 192 * MEGABYTE  # of writable memory once Pyodide is loaded: objects, files in /tmp
DATA_PAGES: Final = 5  # field of /proc/PID/statm: pages of writable private mappings
STACK: Final = 16 * MEGABYTE
JAVASCRIPT_STACK: Final = 7_000  # KB of it that WebAssembly and JavaScript may use: deep recursion ends in an error
OPEN_FILES: Final = 64

ARGUMENTS: Final = (
    "node",
    "--disallow-code-generation-from-strings",
    "--preserve-symlinks",  # the folders are known by descriptor, not by path
    "--preserve-symlinks-main",
    "--no-addons",
    f"--max-old-space-size={JAVASCRIPT_MEMORY}",
    "--v8-pool-size=1",
    f"--stack-size={JAVASCRIPT_STACK}",
    f"/proc/self/fd/{DRIVER}/driver.mjs",
)
# Nothing of the server's: one thread for files, a clock without a place, no configuration of OpenSSL.
ENVIRONMENT: Final = {"UV_THREADPOOL_SIZE": "1", "TZ": "UTC", "OPENSSL_CONF": "/dev/null"}

LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
READABLE: Final = ("/etc/ld.so.cache", "/dev/null")
LOADERS: Final = ("lib/ld-*.so*", "lib64/ld-*.so*")  # what the kernel executes before Node


def node_hardening(session: Hardening) -> Hardening:
    """What Node gives up, on the base of what a session process does."""
    landlock = session.landlock
    if landlock is not None:
        own = [Path(f"/proc/self/fd/{descriptor}") for descriptor in (PACKAGES, DRIVER)]
        loaders = [path for pattern in LOADERS for path in sorted(Path("/").glob(pattern))]
        landlock = replace(
            landlock,
            readable=(*map(Path, (*LIBRARIES, *READABLE)), *own),
            executable=(Path(f"/proc/self/fd/{EXECUTABLE}"), *loaders),
        )
    limits = {
        **SESSION_LIMITS,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_STACK: STACK,
    }
    return replace(session, landlock=landlock, seccomp=build_node_filter(), limits=limits)


@dataclass(frozen=True)
class NodeStart:
    """What every session's Node is started from. The folders are open, so that a session's own uid needs no way
    through their parents."""

    executable: int
    packages: int
    driver: int
    hardening: Hardening

    def execute(self, number: int, reading: int, writing: int) -> NoReturn:
        """Become Node, with pipes `reading` and `writing`."""
        wanted = (reading, writing, self.packages, self.driver, self.executable)
        moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, ABOVE) for descriptor in wanted]
        for target, descriptor in enumerate(moved, FROM_RELAY):
            os.dup2(descriptor, target, inheritable=target != EXECUTABLE)
        os.closerange(EXECUTABLE + 1, os.sysconf("SC_OPEN_MAX"))
        self.hardening.apply(number)
        os.execve(EXECUTABLE, ARGUMENTS, ENVIRONMENT)  # noqa: S606 - Node, which no shell has to find


def relay_hardening(session: Hardening) -> Hardening:
    """Of the relay, at whose death Node must get its signal. Seccomp lets the relay send none of its own."""
    landlock = session.landlock
    return replace(session, landlock=None if landlock is None else replace(landlock, signals=True))


def limit_writable_memory(node: int, linear_memory: int, memory_bytes: int) -> None:
    """The kernel's bound on what Node may still take once Pyodide is loaded, of which `linear_memory` of at most
    `memory_bytes` is the guest's. How much Node reserves for itself differs by hundreds of MB between versions."""
    pages = int(Path(f"/proc/{node}/statm").read_bytes().split()[DATA_PAGES])
    limit = pages * resource.getpagesize() + max(0, memory_bytes - linear_memory) + BESIDES_LINEAR_MEMORY
    resource.prlimit(node, resource.RLIMIT_DATA, (limit, limit))


def prepare_node(installation: Installation, hardening: Hardening) -> NodeStart:
    folder = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    return NodeStart(
        executable=os.open(installation.node, os.O_RDONLY | os.O_CLOEXEC),
        packages=os.open(installation.packages, folder),
        driver=os.open(HERE, folder),
        hardening=hardening,
    )
