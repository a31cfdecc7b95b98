"""RemoteSession: one session with host calls that the caller's thread answers."""

from __future__ import annotations

import signal
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.client.pool_address import PoolAddress
from runtime.client.remote_session import HostCallError, RemoteSession, describe_end
from runtime.inference.errors import SandboxRefusedError, SessionLostError
from runtime.wire import HostCall, SessionInfo, SessionRequest, Status
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox

DEADLINE = 60.0


@contextmanager
def open_session(sandbox: SandboxProcess, *, timeout: float = 30.0, renewal: float = 20.0) -> Iterator[RemoteSession]:
    request = SessionRequest(session_id=uuid.uuid4().hex, host_functions=["ask"])
    address = PoolAddress.find(sandbox.url, sandbox.key_file, None)
    session = RemoteSession(address, request, timeout=timeout, renewal=renewal)
    try:
        yield session
    finally:
        session.close()


@pytest.fixture
def session(sandbox: SandboxProcess) -> Iterator[RemoteSession]:
    with open_session(sandbox) as opened:
        yield opened


def test_calls_are_answered_in_the_callers_thread_and_the_output_is_that_of_the_whole_cell(
    session: RemoteSession,
) -> None:
    threads: list[int] = []

    def answer(call: HostCall) -> str:
        threads.append(threading.get_ident())
        return call.payload.upper()

    code = "import sandbox\nfor word in 'ab':\n    print(sandbox.call('ask', word))\n    sandbox.emit('seen', word)"
    reply = session.run(code, answer)
    assert reply.stdout == "A\nB\n"
    assert [event.payload for event in reply.events] == ["a", "b"]
    assert threads == [threading.get_ident()] * 2


def test_refused_call_raises_in_the_cell(session: RemoteSession) -> None:
    def answer(call: HostCall) -> str:
        raise HostCallError(f"not {call.payload}")

    reply = session.run("import sandbox\nx = 1\nsandbox.call('ask', 'that')", answer)
    assert (reply.status, reply.error and reply.error.message) == (Status.ERROR, "not that")
    assert session.run("print(x)").stdout == "1\n"


def test_call_that_nobody_answers_raises_in_the_cell(session: RemoteSession) -> None:
    reply = session.run("ask()")
    assert reply.error is not None
    assert reply.error.message == "nobody answers calls of ask here"


def test_answer_that_raises_undoes_the_cell_and_leaves_the_session_usable(session: RemoteSession) -> None:
    def answer(call: HostCall) -> str:
        raise KeyboardInterrupt

    session.run("x = 1")
    with pytest.raises(KeyboardInterrupt):
        session.run("x = 2\nask()", answer)
    assert session.run("print(x)").stdout == "1\n"


def test_interrupt_of_the_caller_undoes_the_cell_and_leaves_the_session_usable(
    sandbox: SandboxProcess, session: RemoteSession
) -> None:
    def interrupt_when_running() -> None:
        wait_for(lambda: read_state(sandbox, session.id) == "running")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    session.run("x = 1")
    watcher = threading.Thread(target=interrupt_when_running)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        session.run("x = 2\nwhile True: pass")
    watcher.join()
    assert session.run("print(x)").stdout == "1\n"


def test_time_of_a_cell_is_its_own_over_all_its_calls(sandbox: SandboxProcess) -> None:
    code = "import time\nfor _ in range(30):\n    end = time.time() + 0.2\n    while time.time() < end: pass\n    ask()"
    with open_session(sandbox, timeout=1) as session:
        reply = session.run(code, lambda _: "")
        assert reply.status is Status.TIMEOUT
        assert describe_end(reply).endswith("; variables are as they were before it")
        assert session.run("print('again')").stdout == "again\n"


def test_session_is_kept_alive_while_an_answer_takes_longer_than_the_pool_waits(tmp_path: Path) -> None:
    with (
        run_sandbox(tmp_path, SANDBOX_SUSPEND_TIMEOUT_SECONDS="2") as process,
        open_session(process, renewal=0.2) as renewed,
        open_session(process, renewal=DEADLINE * 2) as forgotten,
    ):

        def outlive(call: HostCall) -> str:
            """Answers after the pool has given up a session that was suspended later."""
            with pytest.raises(SandboxRefusedError):
                forgotten.run("ask()", lambda _: wait_for(lambda: read_state(process, forgotten.id) == "idle"))
            return "late"

        assert renewed.run("import sandbox\nprint(sandbox.call('ask', ''))", outlive).stdout == "late\n"


def read_state(process: SandboxProcess, session_id: str) -> str:
    request = urllib.request.Request(  # noqa: S310  # our own http address
        f"{process.url}/sessions/{session_id}", headers={"Authorization": f"Bearer {process.key_file.read_text()}"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # our own http address
        return SessionInfo.model_validate_json(response.read()).state


def wait_for(condition: Callable[[], bool]) -> str:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.05)
    return ""


def test_session_of_a_server_that_was_restarted_is_lost(tmp_path: Path) -> None:
    with run_sandbox(tmp_path) as process, open_session(process) as session:
        session.run("x = 1")
        process.process.kill()
        process.process.wait()
        port = process.url.rpartition(":")[2]
        (tmp_path / "again").mkdir()
        with (
            run_sandbox(tmp_path / "again", SANDBOX_PORT=port),
            pytest.raises(SessionLostError, match="lost the session"),
        ):
            session.run("print('x' in globals())")
