"""Real processes: restarts, giving up, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rlmctl.errors import StartError
from rlmctl.local.processes import LocalProcess
from rlmctl.local.supervisor import Supervisor
from tests.ports import free_port
from tests.rlmctl.dev_process import is_gone

DEADLINE = 60.0


def python(code: str, name: str = "worker", port: int = 1) -> LocalProcess:
    return LocalProcess(
        name=name,
        command=[sys.executable, "-u", "-c", textwrap.dedent(code)],
        environment={"PATH": os.environ["PATH"]},
        ready_url=f"http://127.0.0.1:{port}/",
    )


def server(port: int, name: str = "worker") -> LocalProcess:
    code = f"""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
        def log_message(self, *args): pass
    HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
    """
    return python(code, name, port)


class Watch:
    """Collects lines, and counts changes of pids."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.changes = 0

    def line(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def change(self) -> None:
        self.changes += 1


@asynccontextmanager
async def supervised() -> AsyncIterator[tuple[Supervisor, Watch]]:
    watch = Watch()
    async with Supervisor(watch.line, watch.change) as supervisor:
        yield supervisor, watch


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110  # the kernel sets no asyncio.Event
            await asyncio.sleep(0.01)


async def test_output_comes_line_by_line_with_the_process_s_name() -> None:
    async with supervised() as (supervisor, watch):
        await supervisor.start(python("import sys, time\nprint('one')\nprint('two', file=sys.stderr)\ntime.sleep(99)"))
        await until(lambda: len(watch.lines) == 2)
        assert sorted(watch.lines) == [("worker", "one"), ("worker", "two")]


async def test_line_longer_than_any_buffer_comes_in_parts() -> None:
    async with supervised() as (supervisor, watch):
        await supervisor.start(python("print('x' * 1_000_000)\nimport time\ntime.sleep(99)"))
        await until(lambda: sum(len(line) for _, line in watch.lines) == 1_000_000)


async def test_ready_process_is_waited_for_and_a_crashed_one_starts_again() -> None:
    process = server(free_port())
    async with supervised() as (supervisor, watch):
        await supervisor.start(process)
        await supervisor.wait_until_ready(process, DEADLINE)
        first = supervisor.pids["worker"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervisor.pids["worker"] != first)
        await supervisor.wait_until_ready(process, DEADLINE)
        assert watch.changes == 2
        assert ("rlmctl", "worker ended with status -9; starting it again in 0.5 s") in watch.lines


async def test_process_that_says_its_settings_are_wrong_is_given_up_at_once_with_its_words() -> None:
    process = python("import sys\nsys.exit(print('RLM_PORT: not a number') or 2)")
    async with supervised() as (supervisor, watch):
        await supervisor.start(process)
        with pytest.raises(StartError, match=r"(?s)worker ended with status 2.*RLM_PORT: not a number"):
            await supervisor.wait_until_ready(process, DEADLINE)
        assert watch.changes == 1


async def test_process_that_crashes_again_and_again_is_given_up() -> None:
    async with supervised() as (supervisor, watch):
        await supervisor.start(python("raise SystemExit(7)"))
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(StartError, match="worker ended 5 times with status 7"):
                await supervisor.wait_for_failure()
        assert watch.changes == 5


async def test_process_that_never_gets_ready_is_reported() -> None:
    async with supervised() as (supervisor, _):
        process = python("import time\ntime.sleep(99)", port=free_port())
        await supervisor.start(process)
        with pytest.raises(StartError, match="worker was not ready within 0 s"):
            await supervisor.wait_until_ready(process, 0.3)


async def test_stop_ends_all_and_what_they_started() -> None:
    code = """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
    print(child.pid)
    time.sleep(99)
    """
    async with supervised() as (supervisor, watch):
        await supervisor.start(python(code, "one"))
        await supervisor.start(python(code, "two"))
        await until(lambda: len(watch.lines) == 2)
        pids = [*supervisor.pids.values(), *(int(line) for _, line in watch.lines)]
    assert len(set(pids)) == 4
    await until(lambda: all(map(is_gone, pids)))


def test_killed_supervisor_takes_its_processes_along() -> None:
    code = """
    import asyncio, os, sys
    from rlmctl.local.processes import LocalProcess
    from rlmctl.local.supervisor import Supervisor

    async def main():
        supervisor = Supervisor(lambda name, line: None, lambda: None)
        sleeper = [sys.executable, "-c", "import time; time.sleep(99)"]
        await supervisor.start(LocalProcess("worker", sleeper, dict(os.environ), "http://127.0.0.1:1/"))
        print(supervisor.pids["worker"], flush=True)
        await asyncio.sleep(99)

    asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    ) as supervising:
        assert supervising.stdout is not None
        worker = int(supervising.stdout.readline())
        # Not only the leash: the command itself, which inherits the leash's bond.
        asyncio.run(until(lambda: b"sleep(99)" in Path(f"/proc/{worker}/cmdline").read_bytes().split(b"\0")[2]))
        assert not is_gone(worker)
        supervising.kill()
    asyncio.run(until(lambda: is_gone(worker)))
