"""One RLMStack with its pool, running on this machine: what `rlmctl dev` and `rlmctl demo` share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rlmctl.local.log_lines import LogPrinter
from rlmctl.local.model_choice import ModelChoice
from rlmctl.local.plan import Plan, build_plan
from rlmctl.local.ready_file import ReadyInfo
from rlmctl.local.supervisor import Supervisor

_FOLDER_PREFIX: Final = "rlmctl-"
_READY_SECONDS: Final = 300.0
"""The first start on a machine may compile the guest."""


@dataclass(frozen=True)
class LocalStack:
    """A stack that answers."""

    plan: Plan
    supervisor: Supervisor

    @property
    def choice(self) -> ModelChoice:
        return self.plan.choice

    def info(self) -> ReadyInfo:
        """With the pids as they are now."""
        return self.plan.info.model_copy(update={"pids": {"rlmctl": os.getpid(), **self.supervisor.pids}})


@asynccontextmanager
async def running_stack(
    files: Sequence[Path],
    environment: Mapping[str, str],
    say: Callable[[str], None],
    logs: LogPrinter,
    on_change: Callable[[], None] = lambda: None,
) -> AsyncIterator[LocalStack]:
    """Start, wait until ready, and stop at the end. `say` tells the user about each step; `on_change` is called when
    a process was started again.

    Raises InputError for files that cannot be used, StartError when a process cannot be kept running.
    """
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-") as folder:  # mode 0700
        plan = build_plan(files, environment, Path(folder))
        for line in (plan.choice.say, *plan.notes):
            say(line)
        async with Supervisor(logs.show, on_change) as supervisor:
            for process in plan.processes:
                say(f"starting {process.name}: {' '.join(['python', *process.command[1:]])}")
                await supervisor.start(process)
            for process in plan.processes:
                await supervisor.wait_until_ready(process, _READY_SECONDS)
                say(f"{process.name} is ready")
            yield LocalStack(plan, supervisor)
            say("stopping all processes")


def _remove_leftovers() -> None:
    """Folders with keys of runs that were killed before they could remove them. The name holds the owner's pid."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(_FOLDER_PREFIX).split("-", 1)[0]
        if pid.isdigit() and folder.stat().st_uid == os.getuid() and not _is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True
