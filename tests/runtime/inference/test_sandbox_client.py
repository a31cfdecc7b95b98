"""The sandbox client against a real sandbox: values in and out, refusals and failures as typed errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.inference.errors import (
    AnswerTooLargeError,
    SandboxBusyError,
    SandboxRefusedError,
    SandboxUnavailableError,
    SandboxUnreachableError,
    SessionLostError,
)
from runtime.inference.sandbox_client import SandboxClient
from runtime.inference.sandbox_watch import SandboxWatch
from runtime.wire import CellReply, ErrorCode, ExecuteRequest, LocalsMode, ResumeRequest, SessionRequest, Status
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox
from tests.runtime.inference.scripted_model import ScriptedModel

DEADLINE = 60.0
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def client(sandbox: SandboxProcess) -> AsyncIterator[SandboxClient]:
    opened = SandboxClient(sandbox.url, sandbox.key_file)
    yield opened
    await opened.close()


@pytest.fixture
async def session(client: SandboxClient) -> AsyncIterator[str]:
    created = await client.create_session(SessionRequest(host_functions=["ask"]))
    yield created.session_id
    await client.delete(created.session_id)


async def run(client: SandboxClient, session: str, code: str, **fields: object) -> CellReply:
    request = {"code": code, "session_id": session, "create": False, **fields}
    return await client.execute(ExecuteRequest.model_validate(request))


async def test_cell_reply_has_output_and_values(client: SandboxClient, session: str) -> None:
    reply = await run(client, session, "x = [1, 'ü']\nprint('hi')\nx", locals=LocalsMode.VALUES)
    assert (reply.status, reply.stdout, reply.result) == (Status.OK, "hi\n", "[1, 'ü']")
    assert reply.locals["x"].value == [1, "ü"]


async def test_suspended_call_is_answered_or_refused(client: SandboxClient, session: str) -> None:
    reply = await run(client, session, "import sandbox\nprint('before')\nprint(sandbox.call('ask', 'payload'))")
    assert reply.call is not None
    assert (reply.status, reply.stdout, reply.call.name, reply.call.payload) == (
        Status.SUSPENDED,
        "before\n",
        "ask",
        "payload",
    )
    reply = await client.resume(session, ResumeRequest(call_id=reply.call.id, result="answer"))
    assert (reply.status, reply.stdout) == (Status.OK, "answer\n")
    reply = await run(client, session, "sandbox.call('ask', '')")
    assert reply.call is not None
    reply = await client.resume(session, ResumeRequest(call_id=reply.call.id, error="no"))
    assert reply.error is not None
    assert (reply.error.type, reply.error.message) == ("RuntimeError", "no")


@pytest.mark.parametrize("text", ["", "plain", "ä€😀" * 1000, "x" * 20_000_000])
async def test_text_survives_the_way_in_and_out(client: SandboxClient, session: str, text: str) -> None:
    assert (await client.put_text(session, "v", text)).length == len(text)
    assert await client.get_text(session, "v") == text


async def test_lone_surrogate_becomes_a_question_mark(client: SandboxClient, session: str) -> None:
    await client.put_text(session, "v", "a\ud800b")
    assert await client.get_text(session, "v") == "a?b"


async def test_json_arrives_as_a_value_and_leaves_as_json(client: SandboxClient, session: str) -> None:
    await client.put_json(session, "v", b'{"a": [1, null, "\xc3\xbc"]}')
    reply = await run(client, session, "v['a'].append(2.5)\nprint(v)")
    assert reply.stdout == "{'a': [1, None, 'ü', 2.5]}\n"
    assert '"a"' in await client.get_text(session, "v")


async def test_variable_that_cannot_be_had_is_a_typed_refusal(client: SandboxClient, session: str) -> None:
    await run(client, session, "v = object()")
    for name, code in [("v", ErrorCode.NOT_SERIALISABLE), ("w", ErrorCode.VARIABLE_NOT_FOUND)]:
        with pytest.raises(SandboxRefusedError) as refused:
            await client.get_text(session, name)
        assert refused.value.refusal is code
    with pytest.raises(SandboxRefusedError) as refused:
        await client.put_json(session, "v", b"{")
    assert refused.value.refusal is ErrorCode.INVALID_VALUE


async def test_variable_above_the_callers_limit_is_not_read_whole(client: SandboxClient, session: str) -> None:
    await client.put_text(session, "v", "x" * 1_000_000)
    with pytest.raises(AnswerTooLargeError, match="v is larger than 1,000 bytes"):
        await client.get_text(session, "v", limit=1000)


async def test_prelude_that_fails_is_a_refusal_with_its_reply(client: SandboxClient) -> None:
    with pytest.raises(SandboxRefusedError) as refused:
        await client.create_session(SessionRequest(prelude="1/0"))
    assert refused.value.refusal is ErrorCode.PRELUDE_FAILED
    reply = CellReply.model_validate(refused.value.details)
    assert reply.error is not None
    assert reply.error.type == "ZeroDivisionError"


async def test_session_that_is_gone_is_lost_and_not_made_anew(client: SandboxClient, session: str) -> None:
    await client.delete(session)
    await client.delete(session)
    with pytest.raises(SessionLostError):
        await run(client, session, "x = 1")


async def test_wrong_key_is_a_refusal_and_a_rotated_key_is_used_at_once(
    sandbox: SandboxProcess, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("wrong")
    client = SandboxClient(sandbox.url, key_file)
    try:
        with pytest.raises(SandboxRefusedError) as refused:
            await client.touch([])
        assert refused.value.refusal is ErrorCode.UNAUTHENTICATED
        key_file.write_text(sandbox.key_file.read_text())
        assert (await client.touch([])).renewed == []
        key_file.unlink()
        with pytest.raises(SandboxUnavailableError, match="WASM_API_KEY_FILE"):
            await client.touch([])
    finally:
        await client.close()


async def test_address_where_nothing_or_something_else_answers_is_unavailable(model: ScriptedModel) -> None:
    for url, said in [
        (NOBODY, "WASM_SERVICE_URL"),
        (model.base_url, "without the protocol's error body"),
    ]:
        client = SandboxClient(url)
        try:
            with pytest.raises(SandboxUnavailableError, match=said):
                await client.touch([])
        finally:
            await client.close()


async def ask_until_refused(client: SandboxClient, session: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            await run(client, session, "x = 1")


async def test_busy_pool_is_asked_again_until_patience_ends(tmp_path: Path) -> None:
    with run_sandbox(tmp_path, SANDBOX_MAX_CONCURRENT_EXECUTIONS="1", SANDBOX_MAX_QUEUE="0") as process:
        hurried = SandboxClient(process.url, process.key_file, patience=0)
        patient = SandboxClient(process.url, process.key_file, patience=DEADLINE)
        try:
            sessions = [(await patient.create_session(SessionRequest())).session_id for _ in range(2)]
            busy = asyncio.create_task(run(patient, sessions[0], "while True: pass", timeout=4))
            with pytest.raises(SandboxBusyError):
                await ask_until_refused(hurried, sessions[1])
            assert (await run(patient, sessions[1], "print(1)")).stdout == "1\n"
            assert (await busy).status is Status.TIMEOUT
        finally:
            await hurried.close()
            await patient.close()


async def test_suspended_session_lives_as_long_as_the_watch_renews_it(tmp_path: Path) -> None:
    with run_sandbox(tmp_path, SANDBOX_SUSPEND_TIMEOUT_SECONDS="1.5") as process:
        client = SandboxClient(process.url, process.key_file)
        watch = SandboxWatch(client, renewal=0.2, probe=0.1)
        watching = asyncio.create_task(watch.run())
        try:
            calls: list[tuple[str, str]] = []
            for _ in range(2):
                session = (await client.create_session(SessionRequest(host_functions=["ask"]))).session_id
                await run(client, session, "x = 1")
                reply = await run(client, session, "print(ask())")
                assert reply.call is not None
                calls.append((session, reply.call.id))
            (renewed, call), (forgotten, lost_call) = calls
            with watch.suspended(renewed):
                async with asyncio.timeout(DEADLINE):
                    while (await client.describe(forgotten)).state == "suspended":  # noqa: ASYNC110  # a process
                        await asyncio.sleep(0.1)
                with pytest.raises(SandboxRefusedError) as refused:
                    await client.resume(forgotten, ResumeRequest(call_id=lost_call, result="late"))
                assert refused.value.refusal is ErrorCode.CALL_MISMATCH
                assert (await client.resume(renewed, ResumeRequest(call_id=call, result="ok"))).stdout == "ok\n"
            assert watch.problem is None
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await client.close()


async def test_several_servers_hold_a_session_each_where_it_was_made(tmp_path: Path) -> None:
    with run_sandbox(tmp_path) as process:
        client = SandboxClient(f"{NOBODY},{process.url}", process.key_file)
        try:
            made = [(await client.create_session(SessionRequest(host_functions=["ask"]))).session_id for _ in range(4)]
            for number, session in enumerate(made):
                await run(client, session, f"x = {number}")
            assert [(await run(client, session, "x")).result for session in made] == ["0", "1", "2", "3"]
            assert (await client.touch([*made, "elsewhere"])).unknown == ["elsewhere"]
            await client.put_text(made[0], "v", "kept")
            assert await client.get_text(made[0], "v") == "kept"
            await client.delete(made[0])
            with pytest.raises(SessionLostError, match="make it anew"):
                await run(client, made[0], "x")
        finally:
            await client.close()


async def test_a_one_shot_cell_that_suspends_is_resumed_where_it_runs(tmp_path: Path) -> None:
    with run_sandbox(tmp_path) as process:
        client = SandboxClient(f"{NOBODY},{process.url}", process.key_file)
        try:
            reply = await client.execute(ExecuteRequest(code="ask()", host_functions=["ask"]))
            assert reply.call is not None
            answer = ResumeRequest(call_id=reply.call.id, result="answer")
            assert (await client.resume(reply.session_id, answer)).result == "'answer'"
            with pytest.raises(SessionLostError):
                await client.resume(reply.session_id, answer)
        finally:
            await client.close()


async def test_several_servers_of_which_none_is_there_are_unreachable() -> None:
    client = SandboxClient(f"{NOBODY},http://127.0.0.1:10")
    try:
        for request in (client.create_session(SessionRequest()), client.execute(ExecuteRequest(code="1"))):
            with pytest.raises(SandboxUnreachableError):
                await request
        with pytest.raises(SandboxUnreachableError):
            await client.touch([])
    finally:
        await client.close()
