"""`rlmctl dev` of a stack with a tool: a question is answered by calling it, with its key, from the sandbox's code."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import yaml
from aiohttp import web
from openai import AsyncOpenAI

from tests.rlmctl.dev_process import run_dev
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.tools.tool_server import ToolServer

CODE = "```repl\norder = find_order(number=7)\nanswer['content'] = order['state']\nanswer['ready'] = True\n```"


def manifest(model: ScriptedModel, server: ToolServer, folder: Path) -> Path:
    tool = {
        "name": "find_order",
        "description": "Looks an order up by its number.",
        "parameters": {"properties": {"number": {"type": "integer"}}, "required": ["number"]},
        "url": f"http://{server.host}/orders/{{number}}",
        "secretHeaders": {"authorization": {"secretKeyRef": {"name": "orders", "key": "token"}, "prefix": "Bearer "}},
        "allowPrivateAddresses": True,
    }
    spec = {
        "model": {"name": "scripted", "baseURL": model.base_url},
        "tools": {"allowedHosts": [server.host], "functions": [tool]},
    }
    documents = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders"}, "stringData": {"token": "s3cret-token"}},
        {"apiVersion": "rlm-operator.dev/v1alpha1", "kind": "RLMStack", "metadata": {"name": "shop"}, "spec": spec},
    ]
    file = folder / "stack.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return file


async def test_a_question_is_answered_by_calling_the_stacks_tool(tmp_path: Path) -> None:
    model, server = await ScriptedModel().start(), await ToolServer().start()
    server.rule = lambda _: web.json_response({"state": "shipped"})
    model.enqueue(CODE)
    with contextlib.ExitStack() as stack:
        dev = await asyncio.to_thread(
            stack.enter_context, run_dev(tmp_path, manifest=manifest(model, server, tmp_path))
        )
        info = dev.info()
        async with AsyncOpenAI(base_url=f"{info.endpoint}/v1", api_key=info.api_key, max_retries=0) as client:
            completion = await client.chat.completions.create(
                model="scripted", messages=[{"role": "user", "content": "Where is order 7?"}]
            )
        await asyncio.to_thread(stack.close)
    assert completion.choices[0].message.content == "shipped"
    [asked] = server.asked
    assert (asked.target, asked.headers["Authorization"]) == ("/orders/7", "Bearer s3cret-token")
    assert "find_order" in str(model.requests[0].messages)
    await model.stop()
    await server.stop()
