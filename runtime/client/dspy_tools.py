"""Runs the tools of a dspy module for code in the sandbox, in the caller's process and thread.

`dspy_interpreter.py` hands every host call to one of these.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from runtime.client.remote_session import HostCallError
from runtime.client.tool_calls import read_tool_call
from runtime.inference.errors import SandboxUnavailableError
from runtime.wire import HostCall

Tools = dict[str, Callable[..., Any]]


def answer_call(tools: Tools, call: HostCall) -> str:
    """The result of a tool as JSON. What it raises is raised in the cell; what has no JSON form arrives as text."""
    tool, asked = read_tool_call(call, tools)
    try:
        value = _finish(_call(tool, asked.positional, asked.named))
    except SandboxUnavailableError:
        raise
    except Exception as error:
        raise HostCallError(f"{type(error).__name__}: {error}") from error
    return json.dumps({"value": _to_json(value)}, default=str)


def _call(tool: Callable[..., Any], positional: list[Any], named: dict[str, Any]) -> Any:
    """By name wherever possible: dspy wraps the tools of an RLM in functions that take names only."""
    if positional:
        names = [
            parameter.name
            for parameter in inspect.signature(tool).parameters.values()
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        if len(positional) <= len(names) and not named.keys() & set(names[: len(positional)]):
            return tool(**dict(zip(names, positional, strict=False)), **named)
    return tool(*positional, **named)


def _finish(value: Any) -> Any:
    """A coroutine's result; also where the caller's own event loop is running, which must not be entered again."""
    if not inspect.iscoroutine(value):
        return value
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, _run, value).result()


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def _to_json(value: Any) -> Any:
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        return str(value)
