"""What a cell used is in its reply however it ended; CPU is compared with CPU, never with a clock on the wall."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass

import pytest

from runtime.sandbox.usage import Meter
from runtime.wire import CellReply, Status
from tests.runtime.sandbox.client import SandboxClient, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import cpu_ticks, sessions_of

BUSY = "while True: pass"
ASLEEP = "import time; time.sleep(60)"
TICKS = 10  # of the kernel's accounting: more than the other sessions of this service use meanwhile
GREEDY = "x = bytes(60_000_000)"
SPIN = "for _ in range(10_000_000): pass\n"


@dataclass(frozen=True)
class Session:
    """With one good cell behind it."""

    id: str
    memory_bytes: int


@pytest.fixture
async def session(client: SandboxClient) -> Session:
    made = new_id()
    return Session(made, (await client.execute("1", made, host_functions=["ask"])).memory_bytes)


def assert_used_cpu(reply: CellReply) -> None:
    """One thread cannot use more CPU than time; on a busy machine it gets little of it."""
    assert 0.01 < reply.cpu_time <= reply.execution_time * 1.05
    assert reply.timing.ran == reply.execution_time


async def test_a_cell_killed_at_its_timeout_reports_its_cpu(client: SandboxClient, session: Session) -> None:
    reply = await client.execute(BUSY, session.id, timeout=1)
    assert reply.status is Status.TIMEOUT
    assert reply.execution_time >= 1
    assert_used_cpu(reply)


async def test_a_cell_that_sleeps_until_its_timeout_used_no_cpu(client: SandboxClient, session: Session) -> None:
    reply = await client.execute(ASLEEP, session.id, timeout=1)
    assert reply.status is Status.TIMEOUT
    assert reply.execution_time >= 1
    assert reply.cpu_time < reply.execution_time / 4


async def test_a_one_shot_that_is_killed_reports_what_it_used(client: SandboxClient) -> None:
    reply = await client.execute(f"{GREEDY}\n{BUSY}", timeout=1)
    assert reply.status is Status.TIMEOUT
    assert reply.memory_bytes > 60_000_000
    assert_used_cpu(reply)


async def test_the_first_cell_of_a_session_that_is_killed_reports_what_it_used(client: SandboxClient) -> None:
    reply = await client.execute(BUSY, new_id(), timeout=1)
    assert (reply.status, reply.rolled_back_to) == (Status.TIMEOUT, 0)
    assert_used_cpu(reply)


async def test_a_killed_cell_reports_the_memory_it_had_and_the_next_one_that_of_the_state_before_it(
    client: SandboxClient, session: Session
) -> None:
    measured_inside = (await client.execute(GREEDY)).memory_bytes
    killed = await client.execute(f"{GREEDY}\n{BUSY}", session.id, timeout=2)
    assert killed.status is Status.TIMEOUT
    assert measured_inside > session.memory_bytes + 50_000_000
    assert abs(killed.memory_bytes - measured_inside) < 1_000_000
    assert (await client.execute("1", session.id)).memory_bytes == session.memory_bytes


async def test_a_killed_cell_of_a_promoted_checkpoint_reports_its_own_memory(
    client: SandboxClient, session: Session
) -> None:
    await client.execute(f"{GREEDY}\n{BUSY}", session.id, timeout=2)
    again = await client.execute(BUSY, session.id, timeout=1)
    assert again.status is Status.TIMEOUT
    assert again.memory_bytes == session.memory_bytes


async def test_a_cell_that_ends_its_process_reports_what_it_used(client: SandboxClient, session: Session) -> None:
    reply = await client.execute(f"{SPIN}{GREEDY}\nimport os; os._exit(1)", session.id)
    assert reply.status is Status.CRASHED
    assert reply.memory_bytes - session.memory_bytes > 50_000_000
    assert_used_cpu(reply)


async def test_a_cell_that_is_interrupted_reports_how_long_it_ran(client: SandboxClient, session: Session) -> None:
    began = await client.execute(f"{SPIN}\nask()\n{BUSY}", session.id)
    assert began.call is not None
    running = asyncio.create_task(client.resume(session.id, began.call.id, result=""))
    sessions = sessions_of(client.server.pid)
    before = cpu_ticks(sessions)
    await eventually(lambda: cpu_ticks(sessions) > before + TICKS)
    await client.interrupt(session.id)
    reply = await running
    assert reply.status is Status.INTERRUPTED
    assert reply.execution_time > began.execution_time
    assert reply.cpu_time > began.cpu_time
    assert_used_cpu(reply)


async def test_time_suspended_is_no_running_time_of_an_interrupted_cell(
    client: SandboxClient, session: Session
) -> None:
    suspended = await client.execute("ask()", session.id)
    await client.touch(session.id)
    reply = await client.interrupt(session.id)
    assert (reply.execution_time, reply.cpu_time) == (suspended.execution_time, suspended.cpu_time)


async def test_a_cell_killed_after_a_host_call_reports_both_parts(client: SandboxClient, session: Session) -> None:
    first = await client.execute(f"{SPIN}ask()\n{BUSY}", session.id)
    assert first.call is not None
    killed = await client.resume(session.id, first.call.id, result="", timeout=1)
    assert killed.status is Status.TIMEOUT
    assert killed.execution_time >= first.execution_time + 1
    assert killed.cpu_time > first.cpu_time
    assert_used_cpu(killed)


async def test_a_branch_of_a_suspended_cell_that_is_killed_reports_what_its_source_had_used_as_well(
    client: SandboxClient, session: Session
) -> None:
    first = await client.execute(f"{SPIN}ask()\n{BUSY}", session.id)
    branch = await client.fork(session.id)
    assert branch.call is not None
    killed = await client.resume(branch.session_id, branch.call.id, result="", timeout=1)
    assert killed.status is Status.TIMEOUT
    assert killed.execution_time >= first.execution_time + 1
    assert killed.cpu_time > first.cpu_time


async def test_a_cell_whose_process_somebody_else_kills_reports_its_cpu_until_shortly_before_and_its_first_memory(
    client: SandboxClient, session: Session
) -> None:
    before = {pid: cpu_ticks({pid}) for pid in sessions_of(client.server.pid)}
    running = asyncio.create_task(client.execute(BUSY, session.id))

    def busy() -> set[int]:
        return {pid for pid in before if cpu_ticks({pid}) > before[pid] + 2 * TICKS}

    await eventually(busy)
    (head,) = busy()
    os.kill(head, signal.SIGKILL)
    reply = await running
    assert reply.status is Status.CRASHED
    assert reply.memory_bytes == session.memory_bytes
    assert_used_cpu(reply)


async def test_the_cpu_of_variables_is_in_the_metric(client: SandboxClient, session: Session) -> None:
    async def cpu() -> float:
        return (await client.metrics())["wasm_cpu_usage_seconds_total", ""]

    before = await cpu()
    await client.put(session.id, "v", b"[" + b"1," * 1_000_000 + b"1]", "application/json")
    after_put = await cpu()
    assert after_put > before + 0.005
    assert (await client.get(session.id, "v")).status == 200
    assert await cpu() > after_put + 0.005


async def test_the_cpu_of_killed_cells_is_in_the_metric(client: SandboxClient, session: Session) -> None:
    before = (await client.metrics())["wasm_cpu_usage_seconds_total", ""]
    reply = await client.execute(BUSY, session.id, timeout=1)
    after = await client.metrics()
    assert after["wasm_cpu_usage_seconds_total", ""] >= before + reply.cpu_time
    assert after["wasm_cpu_usage_seconds", ""] == after["wasm_cpu_usage_seconds_total", ""]


def test_of_a_process_that_is_gone_the_last_look_is_what_is_known() -> None:
    meter = Meter()
    meter.follow(2**22 + 1, 0)  # no process has this id: it is the kernel's largest and one
    meter.begin(afresh=True)
    started = time.perf_counter()
    while time.perf_counter() == started:
        pass
    meter.stop()
    assert meter.used().ran > 0
    assert (meter.used().cpu, meter.used().memory_bytes) == (0, 0)
