"""dspy's own interpreter: Pyodide in Deno, a process for each. Its recursive module has prompts of another kind, so
only the interpreter is measured."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from dspy.primitives.python_interpreter import PythonInterpreter

from benchmarks.peers.runner import About, Repl, Runner

IMPORT_MAP = Path(__file__).parent / "deno" / "import_map.json"


class DspyRepl(Repl):
    def __init__(self, interpreter: Any, context: str) -> None:
        self._interpreter = interpreter
        self._interpreter.execute("pass", variables={"context": context})

    def run(self, code: str) -> str:
        return str(self._interpreter.execute(code))

    def close(self) -> None:
        self._interpreter.shutdown()


class DspyDeno(Runner):
    name = "dspy, Deno"

    def __init__(self, model_url: str) -> None:  # noqa: ARG002  # as for the others; it asks no model
        deno, run, *rest = PythonInterpreter().deno_command
        self._command = [deno, run, f"--import-map={IMPORT_MAP}", *rest]

    def about(self) -> About:
        return About(
            version=f"dspy {version('dspy')}, Deno {version('deno')}",
            reached="a pipe to a Deno process",
            lacks=("state after a kill", "several runs in a process"),
        )

    def open_repl(self, context: str) -> Repl:
        return DspyRepl(PythonInterpreter(deno_command=self._command), context)
