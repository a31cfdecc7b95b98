"""RemoteREPLEnv: a session in the sandbox behind a synchronous object."""

from __future__ import annotations

import asyncio
import re
import signal
import urllib.request
from pathlib import Path

import pytest

from runtime.client import RemoteREPLEnv
from runtime.inference.errors import SandboxUnavailableError, SessionLostError
from tests.runtime.inference.sandbox_process import SandboxProcess


def test_code_gives_output_values_and_time(in_cluster: SandboxProcess) -> None:
    with RemoteREPLEnv() as repl:
        result = repl.code_execution("x = 40 + 2\nprint(x)\nwords = ['a', None]\nmatch = object()\nnothing = None")
    assert result.stdout == "42\n"
    assert result.stderr == ""
    assert (result.locals["x"], result.locals["words"], result.locals["nothing"]) == (42, ["a", None], None)
    assert result.locals["match"].startswith("<object object")
    assert 0 < result.execution_time < 30


def test_variables_stay_from_call_to_call_and_apart_between_objects(in_cluster: SandboxProcess) -> None:
    with RemoteREPLEnv() as one, RemoteREPLEnv() as other:
        assert re.fullmatch(r"[0-9a-f]{32}", one.session_id)
        assert one.session_id != other.session_id
        one.code_execution("x = 1")
        assert one.code_execution("print(x)").stdout == "1\n"
        assert "NameError" in other.code_execution("print(x)").stderr


def test_code_that_runs_too_long_says_so_and_leaves_the_variables(in_cluster: SandboxProcess) -> None:
    with RemoteREPLEnv(timeout=1) as repl:
        repl.code_execution("x = 1")
        result = repl.code_execution("x = 2\nwhile True: pass")
        assert result.stderr.startswith("timeout: ")
        assert repl.code_execution("print(x)").stdout == "1\n"


def test_explicit_address_and_key_win_over_the_environment(
    sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WASM_SERVICE_URL", "http://127.0.0.1:9")
    with RemoteREPLEnv(sandbox.url, api_key_file=sandbox.key_file) as repl:
        assert repl.code_execution("print(1)").stdout == "1\n"


async def test_it_works_inside_a_running_event_loop(in_cluster: SandboxProcess) -> None:
    assert asyncio.get_running_loop().is_running()
    with RemoteREPLEnv() as repl:
        assert repl.code_execution("print(1)").stdout == "1\n"


def delete_session(sandbox: SandboxProcess, session_id: str) -> None:
    """As idleness or another pod's end would."""
    request = urllib.request.Request(  # noqa: S310  # our own http address
        f"{sandbox.url}/sessions/{session_id}",
        method="DELETE",
        headers={"Authorization": f"Bearer {sandbox.key_file.read_text()}"},
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  # our own http address


def test_session_that_is_gone_is_an_error_and_not_an_empty_one(in_cluster: SandboxProcess) -> None:
    with RemoteREPLEnv() as repl:
        repl.code_execution("x = 1")
        delete_session(in_cluster, repl.session_id)
        with pytest.raises(SessionLostError):
            repl.code_execution("print(x)")


def test_unreachable_sandbox_is_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WASM_API_KEY_FILE", raising=False)
    repl = RemoteREPLEnv("http://127.0.0.1:9")
    try:
        with pytest.raises(SandboxUnavailableError, match="WASM_SERVICE_URL"):
            repl.code_execution("1")
    finally:
        repl.close()


def test_default_address_is_the_clusters_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WASM_SERVICE_URL", raising=False)
    repl = RemoteREPLEnv()
    assert repl.url == "http://wasm-repl-service:8000"
    repl.close()


def test_sandbox_that_stops_answering_is_given_up_five_seconds_after_the_timeout(in_cluster: SandboxProcess) -> None:
    with RemoteREPLEnv(timeout=0.5) as repl:
        repl.code_execution("x = 1")
        in_cluster.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(SandboxUnavailableError, match=r"did not answer POST /execute within 5\.5 s"):
                repl.code_execution("x = 2")
        finally:
            in_cluster.process.send_signal(signal.SIGCONT)


def test_failed_start_is_tried_again_at_the_next_call(sandbox: SandboxProcess, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    with RemoteREPLEnv(sandbox.url, api_key_file=key_file) as repl:
        with pytest.raises(SandboxUnavailableError, match="WASM_API_KEY_FILE"):
            repl.code_execution("1")
        key_file.write_text(sandbox.key_file.read_text())
        assert repl.code_execution("print(1)").stdout == "1\n"


def test_closed_object_says_so(in_cluster: SandboxProcess) -> None:
    repl = RemoteREPLEnv()
    repl.close()
    repl.close()
    with pytest.raises(RuntimeError, match="this session is closed"):
        repl.code_execution("1")
