"""Tool calls of a run whose sandbox server is lost: what a tool answered is answered again, and nobody asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from runtime.inference.events import RunCompleted
from tests.runtime.inference.asking import repl, run
from tests.runtime.inference.sandbox_pair import SandboxPair, run_pair
from tests.runtime.inference.scripted_model import Gate, ScriptedModel
from tests.runtime.inference.service import Service
from tests.runtime.inference.tools.conftest import Offer
from tests.runtime.inference.tools.tool_server import ToolServer


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxPair]:
    with run_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def pair(servers: SandboxPair) -> SandboxPair:
    servers.heal()
    return servers


@pytest.fixture
async def spread(offer: Offer, pair: SandboxPair, server: ToolServer) -> Service:
    """A service over both servers, with one tool."""
    return await offer(server.declare(), wasm_service_url=pair.urls, wasm_api_key_file=pair.key_file)


def targets(server: ToolServer) -> list[str]:
    return sorted(asked.target for asked in server.asked)


async def test_a_tool_is_not_called_again_for_cells_that_are_run_again(
    spread: Service, model: ScriptedModel, pair: SandboxPair, server: ToolServer
) -> None:
    gate = Gate(asyncio.Event(), repl("FINAL((a['target'], b['target'], look_up(n=3)['target']))"))
    model.enqueue(repl("a = look_up(n=1)\nb = look_up(n=2)"), gate)
    asking = asyncio.create_task(run(spread))
    await model.until(lambda scripted: len(scripted.root_calls) == 2)
    await pair.kill()
    gate.opened.set()
    done = (await asking)[-1]
    assert isinstance(done, RunCompleted)
    assert (done.answer, done.recoveries, done.diverged) == ("('/?n=1', '/?n=2', '/?n=3')", 1, False)
    assert targets(server) == ["/?n=1", "/?n=2", "/?n=3"]


async def test_a_child_in_a_copy_that_is_made_again_gets_what_the_tool_said(
    spread: Service, model: ScriptedModel, pair: SandboxPair, server: ToolServer
) -> None:
    gate = Gate(asyncio.Event(), "late")
    model.sub_rule = lambda _: gate
    model.enqueue(repl("a = look_up(n=1)"), repl("b = look_up(n=2)\nFINAL(rlm_query('piece'))"))
    child = "FINAL((llm_query('x'), a['target'], b['target'], look_up(n=3)['target']))"
    model.child_rule = lambda _: repl(child)
    asking = asyncio.create_task(run(spread, options={"fork_children": True}))
    await model.until(lambda scripted: len(scripted.sub_calls) == 1)
    await pair.kill("suspended")
    gate.opened.set()
    done = (await asking)[-1]
    assert isinstance(done, RunCompleted)
    assert (done.answer, done.diverged) == ("('late', '/?n=1', '/?n=2', '/?n=3')", False)
    assert targets(server) == ["/?n=1", "/?n=2", "/?n=3"]
