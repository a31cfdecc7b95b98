"""The system calls that Node may make, as a filter that the kernel runs: what Node 20 and its successors need to load
Pyodide and to wait at two pipes. Used by `node_process`.

What is not listed does not exist (ENOSYS) instead of killing: a Node of another version probes for newer calls, and the
C library falls back to older ones.
"""

from __future__ import annotations

import errno
from typing import Final

import pyseccomp

from runtime.sandbox.hardening import PR_SET_VMA
from runtime.sandbox.seccomp import exported

EXECUTABLE: Final = 7  # the descriptor of Node's program, the only one that can be executed
PR_SET_NAME: Final = 15
CLONE_VM: Final = 0x100
CLONE_THREAD: Final = 0x10000
NAMESPACES: Final = 0x7E020000  # every CLONE_NEW… flag
AT_EMPTY_PATH: Final = 0x1000
ALLOWED: Final = (
    *("read", "write", "readv", "writev", "pread64", "close", "lseek", "fcntl", "ioctl", "dup", "pipe2", "eventfd2"),
    *("openat", "fstat", "newfstatat", "statx", "readlinkat", "faccessat", "faccessat2", "getcwd"),
    *(
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "ppoll",
        "pselect6",
        "futex",
        "sched_yield",
        "sched_getaffinity",
        "sched_getparam",
        "sched_getscheduler",
    ),
    *("mmap", "mprotect", "munmap", "mremap", "madvise", "brk", "membarrier"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("set_robust_list", "rseq", "set_tid_address", "exit", "exit_group"),
    *("getpid", "gettid", "getuid", "getgid", "geteuid", "getegid", "capget", "uname", "sysinfo", "getrusage"),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "getrandom"),
)
# Older forms that only some architectures have.
ALLOWED_WHERE_PRESENT: Final = ("open", "stat", "lstat", "readlink", "access", "poll", "epoll_wait", "arch_prctl")


def build_node_filter() -> bytes:
    """As `seccomp.build_filter`, for the process that Node becomes."""
    rules = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.ENOSYS))
    for name in ALLOWED:
        rules.add_rule(pyseccomp.ALLOW, name)
    for name in ALLOWED_WHERE_PRESENT:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(pyseccomp.ALLOW, name)
    threads = CLONE_THREAD | CLONE_VM
    rules.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, threads | NAMESPACES, threads))
    this_program = pyseccomp.Arg(0, pyseccomp.EQ, EXECUTABLE), pyseccomp.Arg(4, pyseccomp.EQ, AT_EMPTY_PATH)
    rules.add_rule(pyseccomp.ALLOW, "execveat", *this_program)
    rules.add_rule(pyseccomp.ALLOW, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, 0))
    for option in (PR_SET_NAME, PR_SET_VMA):
        rules.add_rule(pyseccomp.ALLOW, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, option))
    return exported(rules)
