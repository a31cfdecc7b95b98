"""A call of one of the client's tools, as code in the sandbox makes it through `tool_guest.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from runtime.client.remote_session import HostCallError
from runtime.wire import HostCall

TOOL: Final = "client.tool"


class ToolCall(BaseModel):
    name: str
    positional: list[Any]
    named: dict[str, Any]


def read_tool_call(call: HostCall, tools: Mapping[str, Callable[..., Any]]) -> tuple[Callable[..., Any], ToolCall]:
    """The tool, and what to call it with. Any code in the session can call with any payload: HostCallError then."""
    try:
        asked = ToolCall.model_validate_json(call.payload)
    except ValidationError as error:
        raise HostCallError("the call is not as the session's tools make it") from error
    tool = tools.get(asked.name)
    if tool is None:
        raise HostCallError(f"there is no tool {asked.name[:100]!r}")
    return tool, asked
