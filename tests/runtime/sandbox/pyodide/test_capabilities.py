"""What this image cannot do is refused or said, never pretended."""

from __future__ import annotations

import asyncio

from runtime.wire import CheckpointPolicy, ErrorCode, Status
from tests.runtime.sandbox.client import SandboxClient, new_id
from tests.runtime.sandbox.eventually import eventually


async def test_a_session_says_what_it_lacks_and_has_no_checkpoints_whatever_was_asked_for(
    client: SandboxClient,
) -> None:
    made = await client.create(checkpoint=CheckpointPolicy.IDLE.value, prelude="x = 1")
    assert made.image == "pyodide"
    assert (made.capabilities.fork, made.capabilities.rollback, made.capabilities.packages) == (False, False, [])
    assert (await client.describe(made.session_id)).checkpoint is CheckpointPolicy.OFF


async def test_fork_and_sealed_sessions_are_refused_with_a_code_of_their_own(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    path = f"/sessions/{session}/fork"
    error = await client.refused(422, ErrorCode.CAPABILITY_MISSING, "POST", path, json={})
    assert "pyodide" in error.message
    await client.refused(422, ErrorCode.CAPABILITY_MISSING, "POST", "/sessions", json={"sealed": True})
    assert (await client.execute("x", session, create=False)).result == "1"


async def test_a_timeout_loses_the_session_and_says_so(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    reply = await client.execute("while True: pass", session, timeout=0.5)
    assert (reply.status, reply.session_lost, reply.rolled_back) == (Status.TIMEOUT, True, False)
    assert reply.error is not None
    assert "the session is gone" in reply.error.message
    assert reply.cpu_time > 0
    body = {"code": "x", "session_id": session, "create": False}
    await client.refused(404, ErrorCode.SESSION_EXPIRED, "POST", "/execute", json=body)


async def test_a_sleeping_cell_uses_no_cpu(client: SandboxClient) -> None:
    """Emscripten's own sleep is a busy loop."""
    reply = await client.execute("import time; time.sleep(0.7)")
    assert reply.status is Status.OK
    assert reply.execution_time >= 0.7
    assert reply.cpu_time < 0.35


async def test_a_client_that_goes_away_ends_its_cell_and_the_session(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    running = asyncio.create_task(client.execute("while True: pass", session))

    async def status() -> int:
        return (await client.request("GET", f"/sessions/{session}")).status

    async def is_running() -> bool:
        return (await client.describe(session)).state == "running"

    await eventually(is_running)
    running.cancel()

    async def is_gone() -> bool:
        return await status() == 404

    await eventually(is_gone)


async def test_what_ends_pyodide_is_a_crash_with_its_reason(client: SandboxClient) -> None:
    for code in ("import os; os._exit(0)", "import os; os.abort()", "import json; json.loads('[' * 200_000)"):
        reply = await client.execute(code)
        assert reply.status is Status.CRASHED, code
        assert reply.error is not None
        assert reply.error.message.startswith("pyodide: ")
