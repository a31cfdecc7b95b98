"""Processes: each session has a relay and a Node, which end together and with whatever made them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from runtime.sandbox.pyodide.installation import Installation
from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import alive, command_line, descendants, environment, is_node, status
from tests.runtime.sandbox.server import SandboxServer, run_server


@pytest.fixture(scope="module")
def server(installation: Installation) -> Iterator[SandboxServer]:
    """Without spares, so that every process belongs to a session."""
    with run_server(image="pyodide", spares=0, cpu_shares=1024) as running:
        yield running


def nodes(server: SandboxServer) -> set[int]:
    return {pid for pid in descendants(server.pid) if is_node(pid)}


def relay_of(node: int) -> int:
    return int(status(node)["PPid"])


async def test_relay_and_node_are_hardened_and_know_no_key(client: SandboxClient, server: SandboxServer) -> None:
    await client.execute("1", new_id())
    (node,) = nodes(server)
    for pid in (node, relay_of(node)):
        facts = status(pid)
        assert facts["NoNewPrivs"] == "1"
        assert facts["Seccomp"] == "2"
        assert facts["CapEff"].strip("0") == ""
        if os.geteuid() == 0:
            assert int(facts["Uid"].split()[0]) >= 200_000
        assert b"key-of-alice" not in environment(pid) + command_line(pid)


async def test_deleting_a_session_ends_its_processes(client: SandboxClient, server: SandboxServer) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    (node,) = nodes(server)
    both = {node, relay_of(node)}
    await client.delete(session)
    await eventually(lambda: not alive(both))


async def test_a_node_that_is_killed_between_cells_is_a_lost_session(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    (node,) = nodes(server)
    relay = relay_of(node)
    os.kill(node, signal.SIGKILL)
    await eventually(lambda: not alive({node, relay}))
    assert (await client.execute("'x' in globals()", session)).result == "False"


async def test_a_relay_that_is_killed_in_a_cell_is_a_crash_and_takes_its_node_along(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    call = (await client.execute("ask()", session)).call
    assert call is not None
    (node,) = nodes(server)
    os.kill(relay_of(node), signal.SIGKILL)
    await eventually(lambda: not alive({node}))
    reply = await client.request("POST", f"/sessions/{session}/resume", json={"call_id": call.id, "result": ""})
    assert reply.status in (200, 404)
    assert b'"ok"' not in reply.body


async def test_a_killed_launcher_ends_its_sessions_and_new_ones_work_again(
    client: SandboxClient, server: SandboxServer
) -> None:
    await client.execute("x = 1", new_id())
    before = nodes(server)
    (launcher,) = {int(status(relay_of(node))["PPid"]) for node in before}
    os.kill(launcher, signal.SIGKILL)
    await eventually(lambda: not alive(before))

    async def works() -> bool:
        reply = await client.request("POST", "/execute", json={"code": "40 + 2"})
        return b'"42"' in reply.body

    await eventually(works)


async def test_a_killed_server_leaves_no_process_behind(installation: Installation) -> None:
    with run_server(image="pyodide", spares=1, cpu_shares=1024) as server:
        async with connect(server) as client:
            assert (await client.execute("1", new_id())).status is Status.OK
            started = descendants(server.pid)
            assert any(map(is_node, started))
            os.kill(server.pid, signal.SIGKILL)
            await eventually(lambda: not alive(started))
