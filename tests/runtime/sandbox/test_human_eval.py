"""HumanEval over HTTP: programs that are known to be right pass, and broken ones never do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from runtime.wire import CellReply, Status
from tests.runtime.sandbox.client import SandboxClient
from tests.runtime.sandbox.programs import Program, broken, programs

AT_ONCE = 4


@pytest.fixture(scope="module")
def known() -> list[Program]:
    return programs()


async def run_each(client: SandboxClient, sources: Iterable[str]) -> list[CellReply]:
    """Each in a fresh session of its own, some at the same time."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def run(source: str) -> CellReply:
        async with limit:
            return await client.execute(source)

    return await asyncio.gather(*map(run, sources))


async def test_all_164_solutions_pass_their_tests(client: SandboxClient, known: list[Program]) -> None:
    replies = await run_each(client, (program.with_solution(program.solution) for program in known))
    failed = {program.name: reply.error for program, reply in zip(known, replies, strict=True) if reply.error}
    assert failed == {}
    assert [reply.status for reply in replies] == [Status.OK] * 164


async def test_all_164_solutions_with_an_empty_body_are_errors(client: SandboxClient, known: list[Program]) -> None:
    replies = await run_each(client, (program.with_solution("    pass\n") for program in known))
    assert [reply.status for reply in replies] == [Status.ERROR] * 164
    assert not any(reply.error and reply.error.type == "SyntaxError" for reply in replies)


async def test_all_164_solutions_with_one_operator_or_constant_changed_are_errors(
    client: SandboxClient, known: list[Program]
) -> None:
    sources = [await asyncio.to_thread(broken, program) for program in known]
    replies = await run_each(client, sources)
    passed = [program.name for program, reply in zip(known, replies, strict=True) if reply.status is not Status.ERROR]
    assert passed == []
    assert len(replies) == 164
