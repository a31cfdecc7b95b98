"""`rlmctl demo`: a stack on this machine and one real question over a real corpus, from start to stop.

The corpus is the source of Python's own standard library, which every machine with Python has: several megabytes, far
more than a model's window. `make demo` calls it.
"""

from __future__ import annotations

import logging
import os
import sysconfig
from pathlib import Path
from typing import Annotated, Final

import typer

from rlmctl.ask import ask, read_with_progress
from rlmctl.asking.client import Endpoint
from rlmctl.asking.corpus import Corpus, Selection
from rlmctl.asking.trajectory import TrajectoryView
from rlmctl.interruption import run_interruptibly
from rlmctl.local.log_lines import LogPrinter
from rlmctl.local.stack import running_stack
from rlmctl.terminal import plain, stderr_console, stdout_console

QUESTION: Final = "Across all files, how many classes are defined, and which file defines the most?"
SOURCES: Final = Selection(include=("*.py",), exclude=("site-packages", "dist-packages", "test", "tests"))
"""Installed packages are not the standard library, and its tests would triple the size."""


def standard_library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def demo_command(
    file: Annotated[Path, typer.Option("--file", "-f", help="Manifest with one RLMStack.")] = Path(
        "config/samples/quickstart.yaml"
    ),
    question: Annotated[str, typer.Option(help="What to ask about the standard library's sources.")] = QUESTION,
) -> None:
    """Run a stack on this machine, ask a question over the Python standard library's sources, and stop again.

    With OPENAI_API_KEY or OPENAI_BASE_URL it is asked of that model (which costs tokens); without, of the stand-in.
    """
    console = stderr_console()
    folder = standard_library()
    console.print(plain(f"==> corpus: the Python standard library's sources in {folder}", "bold"), soft_wrap=True)
    corpus = read_with_progress([folder], SOURCES, console)
    run_interruptibly(_run(file, question, corpus))


async def _run(file: Path, question: str, corpus: Corpus) -> None:
    console = stderr_console()

    def say(line: str) -> None:
        console.print(plain(f"==> {line}", "bold"), soft_wrap=True)

    async with running_stack([file], os.environ, say, LogPrinter(console, logging.WARNING)) as stack:
        info = stack.info()
        say(f"asking: {question}")
        await ask(Endpoint(info.endpoint, info.api_key), question, corpus, console, TrajectoryView(stdout_console()))
