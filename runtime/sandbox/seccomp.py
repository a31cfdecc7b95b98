"""The system calls that a session may make, as a filter that the kernel runs.

Built once, in the server; each session process loads the finished program (`hardening`). libseccomp would take 0.3 ms
to build it in each, and the zygote would have to hold the library.
"""

from __future__ import annotations

import errno
import os
from typing import Final

import pyseccomp

from runtime.sandbox.hardening import PR_SET_PDEATHSIG, PR_SET_VMA

FORK_FLAGS: Final = 0x01200011  # CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD: glibc's fork and nothing else
PROT_EXEC: Final = 4

# Every system call that a live session was seen to make, and no more (docs/design/0003-sessions.md).
ALLOWED: Final = (
    *("read", "write", "close", "sendto", "recvfrom", "recvmsg", "preadv2", "pipe2", "dup3", "pselect6"),
    *("munmap", "mremap", "madvise", "brk"),
    *("getpid", "getppid", "gettid", "set_robust_list", "rt_sigreturn", "exit", "exit_group"),
    *("clock_gettime", "clock_nanosleep", "setitimer", "getrandom"),
)
# Absent on some architectures (arm64 has only the newer form of each).
ALLOWED_WHERE_PRESENT: Final = ("dup2",)


def build_filter() -> bytes:
    """A classic BPF program (struct sock_filter[], linux/filter.h): an allow-list for this architecture.

    Anything else kills the process (its checkpoint takes over, so even that is contained).
    """
    rules = pyseccomp.SyscallFilter(defaction=pyseccomp.KILL_PROCESS)
    for name in ALLOWED:
        rules.add_rule(pyseccomp.ALLOW, name)
    for name in ALLOWED_WHERE_PRESENT:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(pyseccomp.ALLOW, name)
    denied = pyseccomp.ERRNO(errno.EPERM)
    rules.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.EQ, FORK_FLAGS))
    rules.add_rule(denied, "clone", pyseccomp.Arg(0, pyseccomp.NE, FORK_FLAGS))
    for name in ("mmap", "mprotect"):
        rules.add_rule(pyseccomp.ALLOW, name, pyseccomp.Arg(2, pyseccomp.MASKED_EQ, PROT_EXEC, 0))
        rules.add_rule(denied, name, pyseccomp.Arg(2, pyseccomp.MASKED_EQ, PROT_EXEC, PROT_EXEC))
    for option in (PR_SET_PDEATHSIG, PR_SET_VMA):
        rules.add_rule(pyseccomp.ALLOW, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, option))
    return exported(rules)


def exported(rules: pyseccomp.SyscallFilter) -> bytes:
    """The program of `rules`, for `Hardening.seccomp`."""
    with os.fdopen(os.memfd_create("seccomp"), "w+b") as file:
        rules.export_bpf(file)
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
