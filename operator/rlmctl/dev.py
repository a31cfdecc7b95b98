"""`rlmctl dev`: a stack on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from rlmctl.interruption import Interrupted, run_interruptibly
from rlmctl.local.log_lines import LogPrinter
from rlmctl.local.ready_file import ReadyInfo, claim_ready_file, default_ready_path, write_ready_file
from rlmctl.local.stack import LocalStack, running_stack
from rlmctl.terminal import plain, stderr_console

_EXAMPLE: Final = """\
ready

  endpoint   {endpoint}/v1
  API key    {key}
  runs       {endpoint}/   (a page; give it the key)

  {environment}rlmctl ask "How many lines contain TODO?" --context PATH

  curl {endpoint}/v1/chat/completions -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "How many words are there?"}}]}}'

Ctrl-C stops everything.
"""


def dev_command(
    file: Annotated[list[Path], typer.Option("--file", "-f", help="Manifest with one RLMStack; may hold Secrets.")],
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Where to write the endpoint and its key once ready (default: where rlmctl ask looks)."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Of the processes' logs, show warnings only.")] = False,
) -> None:
    """Run an RLMStack on this machine: the rendered containers as local processes.

    The model's key comes from a Secret in the file, or from OPENAI_API_KEY (with OPENAI_BASE_URL and OPENAI_MODEL where
    they differ). Without either, a scripted stand-in model answers, and says so. Ctrl-C stops everything.
    """
    console = stderr_console()
    logs = LogPrinter(console, logging.WARNING if quiet else logging.INFO)
    path = ready_file or default_ready_path(os.environ)
    with contextlib.suppress(Interrupted):
        run_interruptibly(_run(file, path, console, logs, is_default=ready_file is None))


async def _run(files: list[Path], path: Path, console: Console, logs: LogPrinter, is_default: bool) -> None:
    running: list[LocalStack] = []

    def rewrite() -> None:
        """A process that was started again has a new pid."""
        for stack in running:
            write_ready_file(path, stack.info())

    def say(line: str) -> None:
        console.print(plain(f"==> {line}", "bold"), soft_wrap=True)

    with claim_ready_file(path):
        async with running_stack(files, os.environ, say, logs, rewrite) as stack:
            running.append(stack)
            rewrite()
            say(_greeting(stack.info(), stack.plan.served_model, is_default))
            await stack.supervisor.wait_for_failure()


def _greeting(info: ReadyInfo, model: str, is_default: bool) -> str:
    key = info.api_key or "none"
    environment = "" if is_default else f"RLM_ENDPOINT={info.endpoint} RLM_API_KEY={key} "
    return _EXAMPLE.format(endpoint=info.endpoint, key=key, model=model, environment=environment)
