"""Where tools connect to: only where the name was seen to lead, and never to the cluster or the machine by surprise."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from runtime.inference.tools.toolbox import open_toolbox
from tests.runtime.inference.asking import answer, repl
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.tools.conftest import Offer, declare
from tests.runtime.inference.tools.test_addresses import Names
from tests.runtime.inference.tools.tool_server import Asked, ToolServer


async def test_a_name_of_a_private_address_is_not_connected_to(
    offer: Offer, server: ToolServer, model: ScriptedModel
) -> None:
    tool = {**server.declare(), "url": f"https://localhost:{server.port}/", "allowPrivateAddresses": False}
    service = await offer(tool)
    model.enqueue(repl("FINAL(look_up())"))
    assert await answer(service) == "Error: the tool's host has an address that may not be called"
    assert server.asked == []


async def test_a_connection_goes_to_the_address_that_was_checked(server: ToolServer, tmp_path: Path) -> None:
    def close_after(_: Asked) -> web.Response:
        response = web.Response()
        response.force_close()
        return response

    server.rule = close_after
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    tool = {**server.declare(), "url": f"http://tool.example:{server.port}/"}
    async with open_toolbox(declare(tmp_path, server, tool), names) as tools:
        declared = tools.find("look_up")
        assert declared is not None
        replies = [await tools.call(declared, "{}") for _ in range(2)]
    refused = "the tool's host has an address that may not be called"
    assert [reply.error for reply in replies] == [None, refused]
    assert (len(server.asked), names.asked) == (1, 2)
