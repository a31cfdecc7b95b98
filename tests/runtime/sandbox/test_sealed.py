"""A sealed session holds variables for its branches and never runs code."""

from __future__ import annotations

from runtime.wire import ErrorCode
from tests.runtime.sandbox.client import SandboxClient


async def test_a_sealed_session_takes_variables_and_its_branches_run_code_on_copies(client: SandboxClient) -> None:
    sealed = (await client.create(sealed=True, host_functions=["ask"])).session_id
    assert (await client.describe(sealed)).sealed
    await client.put(sealed, "context", b"abc")
    first = (await client.fork(sealed)).session_id
    assert not (await client.describe(first)).sealed
    assert (await client.execute("context += 'd'; context, callable(ask)", first)).result == "('abcd', True)"
    await client.put(sealed, "more", b"[1]", "application/json")
    second = (await client.fork(sealed)).session_id
    assert (await client.execute("context, more", second)).result == "('abc', [1])"
    reply = await client.execute("context = 0; import os; os.abort()", second)
    assert reply.rolled_back
    assert (await client.get(second, "context")).body == b"abc"


async def test_a_sealed_session_refuses_code_and_reading_also_with_create(client: SandboxClient) -> None:
    sealed = (await client.create(sealed=True)).session_id
    await client.put(sealed, "context", b"abc")
    for create in (True, False):
        body = {"code": "1", "session_id": sealed, "create": create}
        await client.refused(409, ErrorCode.SEALED, "POST", "/execute", json=body)
    await client.refused(409, ErrorCode.SEALED, "GET", f"/sessions/{sealed}/variables/context")
    assert (await client.describe(sealed)).cell == 0


async def test_a_sealed_session_has_no_prelude(client: SandboxClient) -> None:
    body = {"sealed": True, "prelude": "x = 1"}
    error = await client.refused(400, ErrorCode.MALFORMED, "POST", "/sessions", json=body)
    assert "prelude" in error.message
