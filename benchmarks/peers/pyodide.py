"""Pyodide in Node: CPython for the browser, a Node process for each session."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from benchmarks.peers.line_child import LineChild
from benchmarks.peers.peer import About, Peer, Session

CHILD = Path(__file__).with_name("pyodide_child.mjs")
FOLDER = "BENCH_NODE_MODULES"  # where `make bench` put the npm package


class PyodidePeer(Peer):
    name = "Pyodide in Node"
    most_sessions = 8

    def __init__(self) -> None:
        self._package = Path(os.environ.get(FOLDER, "")) / "pyodide"
        if shutil.which("node") is None or not (self._package / "package.json").exists():
            raise ImportError("Node or the npm package pyodide is not there: install Node 20 and run make bench")

    def about(self) -> About:
        described = json.loads((self._package / "package.json").read_text(encoding="utf-8"))
        session = self.new_session()
        python = session.run("import sys; print(sys.version.split()[0])").strip()
        session.close()
        return About(
            version=str(described["version"]),
            reached="a pipe",
            isolation="WebAssembly in Node; JavaScript of the host is in reach (`import js`)",
            lacks=("state after a kill", "numpy and pandas in the npm package", "limits of memory", "HTTP"),
            python=python,
        )

    def new_session(self) -> Session:
        return LineChild(["node", str(CHILD), str(self._package / "pyodide.mjs")])
