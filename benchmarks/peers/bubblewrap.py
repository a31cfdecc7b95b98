"""The Python child inside bubblewrap: all namespaces unshared, the file system read-only, no network."""

from __future__ import annotations

import shutil
import subprocess

from benchmarks.peers.peer import About
from benchmarks.peers.python import PythonPeer

FENCE = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent"]
FENCE += ["--new-session", "--clearenv", "--cap-drop", "ALL"]


class BubblewrapPeer(PythonPeer):
    name = "bubblewrap"

    def __init__(self) -> None:
        if shutil.which("bwrap") is None:
            raise ImportError("bwrap is not there: on Debian, apt-get install bubblewrap")
        super().__init__()

    def about(self) -> About:
        version = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout
        return About(
            version=version.strip().rpartition(" ")[2],
            reached="a pipe",
            isolation="namespaces; the host's kernel and its files, read-only, are in reach",
            lacks=("limits of memory and output", "rollback", "HTTP"),
        )

    def command(self) -> list[str]:
        return [*FENCE, *super().command()]
