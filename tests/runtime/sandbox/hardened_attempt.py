"""Runs one forbidden thing in a process that `Hardening` was applied to; started by test_hardening as a program.

    python -m tests.runtime.sandbox.hardened_attempt NAME

Prints how it went: `refused ERRNO`, `did it`; being killed leaves nothing printed.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from runtime.sandbox.hardening import Hardening, die_with_parent, prepare
from runtime.sandbox.seccomp import build_filter

MAP_ANONYMOUS_PRIVATE: Final = 0x22


def _libc(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _fork_many() -> None:
    for _ in range(200):
        parent = os.getpid()
        if os.fork() == 0:
            os.closerange(0, 3)  # the test waits for the end of these
            die_with_parent()
            while os.getppid() == parent:
                signal.sigtimedwait([signal.SIGUSR1], 1)
            os._exit(0)


def _fill_file() -> None:
    with Path("/tmp").joinpath(f"hardened-{os.getpid()}").open("wb") as file:  # only reached without Landlock
        file.write(b"x")
        file.flush()


ATTEMPTS: Final[dict[str, Callable[[], object]]] = {
    "nothing": lambda: None,
    "read and write its own descriptors": lambda: os.write(1, b""),
    "fork": lambda: os._exit(0) if os.fork() == 0 else None,
    "open": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "list": lambda: list(Path("/").iterdir()),
    "socket": socket.socket,
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "execve": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606  # it must not happen
    "kill": lambda: os.kill(os.getppid(), 0),
    "kill itself": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "ptrace": lambda: _libc("ptrace", 16, os.getppid(), 0, 0),
    "process_vm_readv": lambda: _libc("process_vm_readv", os.getppid(), None, 0, None, 0, 0),
    "thread": lambda: __import__("threading").Thread(target=int).start(),
    "unshare": lambda: _libc("unshare", 0x10000000),
    "mount": lambda: _libc("mount", b"none", b"/", None, 0, None),
    "setuid": lambda: os.setuid(0),
    "prctl": lambda: _libc("prctl", 4, 1, 0, 0, 0),
    "executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "bpf": lambda: _libc("syscall", 321, 0, None, 0),
    "io_uring": lambda: _libc("syscall", 425, 1, None),
    "create a file": _fill_file,
    "many processes": _fork_many,
    "many descriptors": lambda: [os.dup(0) for _ in range(100)],
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000)),
}


def main() -> None:
    name, without = sys.argv[1], sys.argv[2:]
    attempt = ATTEMPTS[name]
    __import__("threading"), __import__("encodings.idna")
    hardening: Hardening = prepare(256, build_filter())
    if "seccomp" in without:
        hardening = replace(hardening, seccomp=b"")
    if "landlock" in without:
        hardening = replace(hardening, landlock=None)
    hardening.apply(session_number=os.getpid() % 10_000)
    try:
        attempt()
    except OSError as error:
        os.write(1, f"refused {errno.errorcode.get(error.errno or 0)}\n".encode())
    except (RuntimeError, ValueError) as error:
        os.write(1, f"refused {type(error).__name__}\n".encode())
    else:
        os.write(1, b"did it\n")
    os._exit(0)


if __name__ == "__main__":
    main()
