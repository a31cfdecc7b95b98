"""The audit log says who ran what and what went out, and gives nothing of it away."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from runtime.wire import ErrorCode, Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.server import KEYS, SandboxServer, run_server

SECRET: Final = "a-secret-that-no-log-may-have"
CALL_BYTES: Final = 16 << 20

Line = dict[str, object]


@pytest.fixture(scope="module")
def audited_server() -> Iterator[SandboxServer]:
    with run_server(audit_log="true", suspend_timeout_seconds=2) as running:
        yield running


@pytest.fixture
async def audited(audited_server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(audited_server) as connected:
        yield connected


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def lines_of(client: SandboxClient, session: str) -> list[Line]:
    """The audit lines of a session, oldest first."""
    wanted = digest(session)[:16]
    lines = client.server.log_lines()
    return [line for line in lines if line.get("logger") == "audit" and line.get("session") == wanted]


def events_of(client: SandboxClient, session: str) -> list[str]:
    return [str(line["event"]) for line in lines_of(client, session)]


async def test_a_cell_is_put_down_with_caller_request_code_hash_and_sizes(audited: SandboxClient) -> None:
    session, code = new_id(), f"print('{SECRET}')\n'ab'"
    body = {"code": code, "session_id": session}
    await audited.request("POST", "/execute", json=body, headers={"x-request-id": "my-request.7"})
    created, cell = lines_of(audited, session)
    assert (created["event"], created["caller"], created["request_id"]) == ("session_created", "alice", "my-request.7")
    assert created["one_shot"] is False
    assert (
        cell
        | {
            "event": "cell",
            "caller": "alice",
            "request_id": "my-request.7",
            "cell": 1,
            "code_sha256": digest(code),
            "code_bytes": len(code),
            "status": "ok",
            "stdout_bytes": len(SECRET) + 1,
            "stderr_bytes": 0,
            "result_bytes": 4,
        }
        == cell
    )
    assert float(str(cell["cpu_seconds"])) > 0
    assert int(str(cell["memory_bytes"])) > 1_000_000


async def test_each_ending_of_a_cell_is_put_down(audited: SandboxClient) -> None:
    session = new_id()
    for code, seconds in (("1 / 0", 30), ("while True: pass", 0.5), ("import os; os._exit(1)", 30)):
        await audited.execute(code, session, timeout=seconds)
    cells = [line for line in lines_of(audited, session) if line["event"] == "cell"]
    assert [line["status"] for line in cells] == ["error", "timeout", "crashed"]
    assert cells[0]["code_sha256"] == digest("1 / 0")


async def test_what_a_host_call_sends_out_is_put_down_with_name_size_and_hash_and_so_is_the_answer(
    audited: SandboxClient,
) -> None:
    session, payload = new_id(), f"{SECRET} für alle"
    body = f"import sandbox\nsandbox.call('ask', {payload!r})"
    reply = await audited.execute(body, session, host_functions=["ask"])
    assert reply.call is not None
    await audited.resume(session, reply.call.id, result="grün")
    assert events_of(audited, session) == ["session_created", "cell", "host_call", "host_answer", "cell"]
    _, _, call, answer, end = lines_of(audited, session)
    sent = {"function": "ask", "bytes": len(payload.encode()), "sha256": digest(payload), "cell": 1}
    assert call | sent == call
    assert answer | {"bytes": 5, "sha256": digest("grün"), "is_error": False} == answer
    assert (end["status"], end["code_sha256"]) == ("ok", None)


async def test_a_host_call_beyond_the_cap_sends_nothing_out_even_from_code_that_catches_everything(
    audited: SandboxClient,
) -> None:
    session = new_id()
    call = f"sandbox.call('ask', 'é' * {CALL_BYTES // 2 + 1})"
    code = f"kept = 1\nimport sandbox\ntry:\n    {call}\nexcept BaseException as e:\n    e"
    reply = await audited.execute(code, session, host_functions=["ask"])
    assert (reply.status, reply.call) == (Status.OK, None)
    assert "host_call" not in events_of(audited, session)
    assert (await audited.execute("kept", session)).result == "1"
    largest = await audited.execute(f"sandbox.call('ask', 'x' * {CALL_BYTES})", session)
    assert largest.call is not None
    assert lines_of(audited, session)[-1]["bytes"] == CALL_BYTES
    assert (await audited.execute("1 + 1")).result == "2"


async def test_variables_branches_and_ends_are_put_down(audited: SandboxClient) -> None:
    session = (await audited.create(host_functions=["ask"])).session_id
    await audited.put(session, "notes", "größer".encode())
    assert (await audited.get(session, "notes")).status == 200
    await audited.refused(404, ErrorCode.VARIABLE_NOT_FOUND, "GET", f"/sessions/{session}/variables/absent")
    branch = (await audited.fork(session)).session_id
    await audited.delete(session)
    _, put, read, absent, ended = lines_of(audited, session)
    assert put | {"event": "variable_set", "variable": "notes", "status": "ok", "bytes": 8} == put
    assert read | {"event": "variable_read", "variable": "notes", "status": "ok", "bytes": 8} == read
    assert absent | {"event": "variable_read", "status": "variable_not_found", "bytes": 0} == absent
    assert ended | {"event": "session_ended", "reason": "deleted", "cells": 0} == ended
    (branched,) = lines_of(audited, branch)
    assert branched | {"event": "session_created", "branch_of": digest(session)[:16]} == branched


async def test_a_one_shot_is_put_down_from_beginning_to_end(audited: SandboxClient) -> None:
    reply = await audited.execute("1")
    assert events_of(audited, reply.session_id) == ["session_created", "cell", "session_ended"]


async def test_a_cached_reply_is_put_down_with_the_hash_of_its_code(audited: SandboxClient) -> None:
    code = f"'{new_id()}'"
    for _ in range(2):
        await audited.execute(code, cacheable=True)
    (hit,) = [line for line in audited.server.log_lines() if line.get("event") == "cache_hit"]
    assert (hit["caller"], hit["code_sha256"]) == ("alice", [digest(code)])


async def test_a_session_that_is_lost_says_so(audited: SandboxClient) -> None:
    session = (await audited.create(checkpoint="off", prelude="x = 1")).session_id
    reply = await audited.execute("import os; os._exit(1)", session)
    assert reply.session_lost
    assert (
        lines_of(audited, session)[-1] | {"event": "session_ended", "reason": "lost"} == lines_of(audited, session)[-1]
    )


async def test_cells_that_nobody_waits_for_any_more_are_put_down_and_counted(audited: SandboxClient) -> None:
    before = await audited.metrics()
    session, other = new_id(), new_id()
    await audited.execute("1", session)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await audited.execute("while True: pass", session)
    await audited.execute("ask()", other, host_functions=["ask"])
    await eventually(lambda: "abandoned" in lines_of(audited, session)[-1])
    await eventually(lambda: "abandoned" in lines_of(audited, other)[-1])
    cell = lines_of(audited, session)[-1]
    assert cell["status"] == "interrupted"
    assert float(str(cell["cpu_seconds"])) > 0
    after = await audited.metrics()
    for name in ("wasm_execution_requests_total", "wasm_execution_errors_total"):
        assert after[name, "interrupted"] == before.get((name, "interrupted"), 0) + 2
    assert after["wasm_rollbacks_total", ""] == before["wasm_rollbacks_total", ""] + 2
    grown = after["wasm_cpu_usage_seconds_total", ""] - before["wasm_cpu_usage_seconds_total", ""]
    assert grown >= float(str(cell["cpu_seconds"])) - 0.001


async def test_nothing_that_a_caller_or_guest_says_forges_a_line_or_is_given_away(audited: SandboxClient) -> None:
    session = new_id()
    forged = '{"logger": "audit", "event": "cell", "caller": "mallory", "session": "0"}'
    hostile = f"x\n{forged}\r\n\x1b[2J\u2028{forged}"
    name = hostile[:128]
    code = f"kept = 1\nimport os, sys\nos.write(1, {hostile.encode()!r})\n"
    code += f"print({hostile!r}, {SECRET!r}, file=sys.stderr)\n"
    await audited.execute(code + f"import sandbox\nsandbox.emit({hostile[:60]!r}, {SECRET!r})", session)
    await audited.execute(f"raise type({hostile!r}, (Exception,), {{}})({SECRET!r})", session)
    await audited.create(session_id=(called := new_id()), host_functions=[name])
    reply = await audited.execute(f"import sandbox\nsandbox.call({name!r}, {SECRET!r})", called)
    assert reply.call is not None
    await audited.request("POST", "/execute", data=f'{{"{forged}": 1'.encode(), headers={"x-request-id": forged})
    await audited.request("GET", f"/sessions/{session}/variables/%0A%7B%7D")
    text = audited.server.log.read_text()
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    assert not [line for line in audited.server.log_lines() if line.get("caller") not in (None, *KEYS)]
    assert not {"\x1b", "\r", "\u2028"} & set(text)
    assert SECRET not in text
    assert lines_of(audited, called)[-1]["function"] == name
    assert (await audited.execute("kept", session)).result == "1"
    assert (await audited.execute("1 + 1")).result == "2"


async def test_without_the_setting_there_is_no_audit_line_and_each_cell_is_one_line_with_its_request(
    client: SandboxClient,
) -> None:
    session = new_id()
    body = {"code": f"'{SECRET}'", "session_id": session}
    reply = await client.request("POST", "/execute", json=body, headers={"x-request-id": "the-one"})
    assert reply.headers["x-request-id"] == "the-one"
    lines = client.server.log_lines()
    assert not [line for line in lines if line["logger"] == "audit"]
    (line,) = [line for line in lines if line.get("request_id") == "the-one"]
    expected = {"message": "cell", "caller": "alice", "session": digest(session)[:16], "status": "ok"}
    assert line | expected == line
    assert SECRET not in client.server.log.read_text()
