"""rlms, the reference library of recursive language models: its local REPL, and the persistence of its Docker REPL.

There may be no Docker here. Its Docker REPL then runs through `stand_ins/docker`, which executes what it would execute
in a container in a bubblewrap of the same mounts: all of its own work (a new Python for each cell, the whole state
pickled and unpickled around it) and none of a container's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rlm
from rlm.environments.docker_repl import DockerREPL
from rlm.environments.local_repl import LocalREPL

from benchmarks.model_control import MODEL
from benchmarks.peers.runner import About, Repl, Runner

STAND_INS = Path(__file__).with_name("stand_ins")
MOST_ITERATIONS = 1000
BATCH_CAP = 16  # of its handler; nothing sets another


class RlmsRepl(Repl):
    def __init__(self, environment: Any) -> None:
        self._environment = environment

    def run(self, code: str) -> str:
        result = self._environment.execute_code(code)
        if result.stderr:
            raise RuntimeError(result.stderr)
        return str(result.stdout)

    def close(self) -> None:
        self._environment.cleanup()


class RlmsLocal(Runner):
    name = "rlms, local"
    batch_cap = BATCH_CAP
    environment = "local"

    def __init__(self, model_url: str) -> None:
        self._rlm = rlm.RLM(
            backend="openai",
            backend_kwargs={"model_name": MODEL, "base_url": f"{model_url}/v1", "api_key": "none"},
            environment=self.environment,
            max_iterations=MOST_ITERATIONS,
        )

    def about(self) -> About:
        return About(
            version=f"rlms {version('rlms')}",
            reached="a call; code runs in its caller's process",
            lacks=("isolation", "limits of code", "more than one run at a time in a process", "HTTP"),
        )

    def open_repl(self, context: str) -> Repl:
        return RlmsRepl(LocalREPL(context_payload=context))

    def ask(self, context: str) -> str:
        return str(self._rlm.completion(context, root_prompt="What is there?").response)


def _has_docker() -> bool:
    """With a running engine behind it."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


class RlmsDocker(RlmsLocal):
    name = "rlms, docker"
    environment = "docker"

    def __init__(self, model_url: str) -> None:
        if not _has_docker():
            if shutil.which("bwrap") is None:
                raise ImportError(
                    "neither docker nor bwrap is there: install one (on Debian: apt-get install bubblewrap)"
                )
            os.environ["PATH"] = f"{STAND_INS}{os.pathsep}{os.environ['PATH']}"
        os.environ["RLM_DOCKER_WORKSPACE_DIR"] = tempfile.mkdtemp(prefix="bench-")
        self._is_stand_in = shutil.which("docker") == str(STAND_INS / "docker")
        super().__init__(model_url)

    def about(self) -> About:
        reached = "docker exec, a new Python for each cell"
        without = " (without Docker: in bubblewrap)" if self._is_stand_in else ""
        return About(f"rlms {version('rlms')}", reached + without, ("limits of code", "HTTP"))

    def open_repl(self, context: str) -> Repl:
        return RlmsRepl(DockerREPL(context_payload=context))

    def close(self) -> None:
        shutil.rmtree(os.environ["RLM_DOCKER_WORKSPACE_DIR"], ignore_errors=True)
