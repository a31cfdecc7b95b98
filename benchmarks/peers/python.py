"""`python3 -I` as a child process: what a cell costs without any isolation, and native speed."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path

from benchmarks.peers.line_child import LineChild
from benchmarks.peers.peer import About, Peer, Session

CHILD = Path(__file__).with_name("python_child.py")


class PythonPeer(Peer):
    name = "python3 -I"

    def __init__(self) -> None:
        self.has_packages = all(map(importlib.util.find_spec, ("numpy", "pandas")))

    def about(self) -> About:
        tuned = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
        return About(
            version=f"{sys.version.split()[0]}{'' if tuned else ' (built without profile-guided optimisation)'}",
            reached="a pipe",
            isolation="none",
            lacks=("isolation", "limits", "rollback", "HTTP"),
        )

    def command(self) -> list[str]:
        return [sys.executable, "-I", "-u", str(CHILD)]

    def new_session(self) -> Session:
        return LineChild(self.command())
