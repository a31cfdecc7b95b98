"""Ctrl-C and SIGTERM as an orderly end: the running command is cancelled, so that its clean-up happens."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from rlmctl.errors import CommandError

Result = TypeVar("Result")


class Interrupted(CommandError):  # noqa: N818  # no error: somebody asked for it
    """A signal ended the command. The exit status is the shell's for SIGINT."""

    exit_status = 130


def run_interruptibly(main: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run` of a task that SIGINT, SIGTERM and SIGHUP cancel. Raises Interrupted after its clean-up."""

    async def guarded() -> Result:
        loop = asyncio.get_running_loop()
        task = loop.create_task(main)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, task.cancel)
        try:
            return await task
        except asyncio.CancelledError as error:
            raise Interrupted("stopped") from error

    return asyncio.run(guarded())
