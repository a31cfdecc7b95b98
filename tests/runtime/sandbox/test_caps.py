"""How many sessions a caller may have, and for how long."""

from __future__ import annotations

from runtime.wire import ErrorCode
from tests.runtime.sandbox.client import connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.server import KEYS, run_server


async def test_a_full_server_gives_a_caller_with_less_the_place_of_one_with_more() -> None:
    """The session that was idle for longest ends, and its owner is told so; at equal shares nobody is moved."""
    with run_server(max_sessions=4, spares=0) as server:
        async with connect(server) as greedy, connect(server, KEYS["bob"]) as modest:
            kept = [(await greedy.create(session_id=new_id(f"g{number}"))).session_id for number in range(4)]
            await greedy.execute("1", kept[0])  # so that the second is idle for longest
            first = (await modest.create()).session_id
            await greedy.refused(404, ErrorCode.SESSION_EXPIRED, "GET", f"/sessions/{kept[1]}")
            await modest.create()
            await greedy.refused(404, ErrorCode.SESSION_EXPIRED, "GET", f"/sessions/{kept[2]}")
            await modest.refused(429, ErrorCode.SESSION_CAP, "POST", "/sessions", json={})
            await greedy.refused(429, ErrorCode.SESSION_CAP, "POST", "/sessions", json={})
            assert (await greedy.describe(kept[0])).state == "idle"
            assert (await modest.describe(first)).state == "idle"


async def test_running_and_suspended_sessions_of_others_are_never_taken() -> None:
    with run_server(max_sessions=2, spares=0) as server:
        async with connect(server) as greedy, connect(server, KEYS["bob"]) as modest:
            replies = [await greedy.execute("ask()", new_id(), host_functions=["ask"]) for _ in range(2)]
            await modest.refused(429, ErrorCode.SESSION_CAP, "POST", "/sessions", json={})
            for reply in replies:
                assert reply.call is not None
                assert (await greedy.resume(reply.session_id, reply.call.id, result="a")).result == "'a'"


async def test_a_caller_has_no_more_sessions_than_its_cap_while_others_may_make_theirs() -> None:
    with run_server(max_sessions_per_caller=2, spares=0) as server:
        async with connect(server) as client, connect(server, KEYS["bob"]) as stranger:
            made = [(await client.create()).session_id for _ in range(2)]
            refusal = await client.refused(429, ErrorCode.SESSION_CAP, "POST", "/execute", json={"code": "1"})
            assert "2 sessions of this key" in refusal.message
            await stranger.create()
            await client.delete(made[0])
            await client.create()


async def test_a_session_that_is_used_all_the_time_ends_at_its_lifetime() -> None:
    with run_server(lifetime_seconds=2, spares=0) as server:
        async with connect(server) as client:
            session = (await client.create()).session_id
            suspended = await client.execute("ask()", new_id(), host_functions=["ask"])

            async def expired() -> bool:
                body = {"code": "1", "session_id": session, "create": False}
                reply = await client.request("POST", "/execute", json=body)
                return reply.status == 404 and reply.error().code is ErrorCode.SESSION_EXPIRED

            await eventually(expired)
            assert suspended.call is not None  # it is as old, but its call is still answered
            assert (await client.resume(suspended.session_id, suspended.call.id, result="a")).result == "'a'"
            metrics = await client.metrics()
            assert metrics["wasm_sessions_expired_total", "lifetime"] >= 1
