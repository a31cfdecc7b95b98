"""What a session process gives up before guest code runs in it: limits, identity, files, network, system calls.

`prepare` runs in the zygote (it allocates and imports), `Hardening.apply` in each session right after the fork. A
measure that this kernel or user cannot do is reported in `missing`, never silently dropped; readiness and metrics
show it.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from runtime.sandbox.landlock import Landlock, landlock

PR_SET_PDEATHSIG: Final = 1
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
PR_SET_VMA: Final = 0x53564D41
SECCOMP_MODE_FILTER: Final = 2
SECCOMP_INSTRUCTION: Final = 8  # bytes of a struct sock_filter
SIGKILL: Final = 9
FIRST_SESSION_UID: Final = 200_000
MAX_PROCESSES: Final = 64  # of one session's own uid: head, checkpoint, one of each in transition
SESSION_LIMITS: Final[Mapping[int, int]] = {
    resource.RLIMIT_NOFILE: 16,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
}
OOM_SCORE_FILE: Final = "/proc/self/oom_score_adj"
OOM_SCORE: Final = b"500"  # of -1000 to 1000: short of memory, the kernel takes a session before the server


class HardeningError(Exception):
    """A measure that this process should be able to take failed; the session must not run."""


@dataclass
class Hardening:
    """The measures, ready to be applied. `missing` names what cannot be had here and why."""

    nice: int
    landlock: Landlock | None
    seccomp: bytes  # the program of `seccomp.build_filter`
    set_uid: bool
    raise_oom_score: bool
    missing: list[str] = field(default_factory=list)
    limits: Mapping[int, int] = field(default_factory=lambda: dict(SESSION_LIMITS))

    def apply(self, session_number: int) -> None:
        """Irrevocable. The order matters: identity before no_new_privs has no effect on it, seccomp last."""
        self.take_identity(session_number)
        self.confine()

    def take_identity(self, session_number: int) -> None:
        """The first half of `apply`: limits and a user of the session's own."""
        if self.raise_oom_score:
            _write(OOM_SCORE_FILE, OOM_SCORE)
        limits = dict(self.limits)
        if self.set_uid:
            limits[resource.RLIMIT_NPROC] = MAX_PROCESSES
        for which, limit in limits.items():
            resource.setrlimit(which, (limit, limit))
        if self.nice:
            os.nice(self.nice)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if self.set_uid:
            uid = FIRST_SESSION_UID + session_number
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        die_with_parent()

    def confine(self) -> None:
        """The second half of `apply`: no files, no network, no other system calls."""
        if self.landlock is not None:
            self.landlock.restrict()
        if self.seccomp:
            _load_seccomp(self.seccomp)


def prepare(cpu_shares: int, seccomp: bytes) -> Hardening:
    """Find out what this kernel and user can do and build it."""
    missing: list[str] = []
    set_uid = os.geteuid() == 0
    if not set_uid:
        missing.append("own uid per session: the service does not run as root")
    raise_oom_score = os.access(OOM_SCORE_FILE, os.W_OK)
    if not raise_oom_score:
        missing.append(f"a higher oom_score_adj: {OOM_SCORE_FILE} cannot be written")
    ruleset = landlock()
    if ruleset is None:
        missing.append("Landlock: not offered by this kernel")
    return Hardening(niceness(cpu_shares), ruleset, seccomp, set_uid, raise_oom_score, missing)


def niceness(cpu_shares: int) -> int:
    """The nice value whose scheduler weight is nearest to a cgroup's: 1024 shares are nice 0, each step is a factor
    of 1.25."""
    weight = 1024.0
    nice = 0
    while nice < 19 and weight * 0.8 >= cpu_shares:
        weight *= 0.8
        nice += 1
    return nice


def die_with_parent() -> None:
    """SIGKILL when the parent ends. Cleared by fork and by a change of uid, so it is set again after both."""
    prctl(PR_SET_PDEATHSIG, SIGKILL)


def prctl(option: int, argument: int) -> None:
    if _libc().prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise HardeningError(f"prctl({option}, {argument}): {os.strerror(number)}")


class _FilterProgram(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _load_seccomp(program: bytes) -> None:
    """Needs no_new_privs, which came before."""
    loaded = _FilterProgram(len(program) // SECCOMP_INSTRUCTION, program)
    if _libc().prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(loaded), 0, 0) != 0:
        raise HardeningError(f"seccomp: {os.strerror(ctypes.get_errno())}")


def _write(file: str, data: bytes) -> None:
    """Without the objects of an open file: a session would write to 70 more pages that it shares with the zygote."""
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
