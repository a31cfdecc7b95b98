"""The tools of one process: loaded once at start, offered to every run, called for what their schemas allow.

The engine owns one. `tool_calls.py` asks it what came of a call; what it answers is data for the code that asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jsonschema_rs
import yaml
from aiohttp.abc import AbstractResolver
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from runtime.inference.tools.client import ToolClient, ToolReply, build_failure
from runtime.inference.tools.declaration import FOLDER, HttpTool, ToolFile
from runtime.inference.tools.offer import ToolOffer
from runtime.inference.tools.request import UnfitArgumentError, build_request

MAX_ARGUMENT_BYTES: Final = 1024 * 1024
_PROBLEM_CHARACTERS: Final = 300


class ToolFileError(Exception):
    """The message says what is wrong in the file, and where."""


@dataclass(frozen=True)
class Tool:
    declaration: HttpTool
    validator: jsonschema_rs.Validator

    @property
    def offer(self) -> ToolOffer:
        declared = self.declaration
        return ToolOffer(declared.name, declared.description, to_json(declared.parameters).decode())


class Toolbox:
    def __init__(self, tools: list[Tool], client: ToolClient) -> None:
        self._tools = {tool.declaration.name: tool for tool in tools}
        self._client = client

    @property
    def offers(self) -> tuple[ToolOffer, ...]:
        return tuple(tool.offer for tool in self._tools.values())

    def find(self, name: str) -> HttpTool | None:
        tool = self._tools.get(name)
        return None if tool is None else tool.declaration

    async def call(self, tool: HttpTool, payload: str) -> ToolReply:
        """`payload` is what the code sent: anything, until it is found to be an object that fits the tool's schema."""
        if len(payload) > MAX_ARGUMENT_BYTES:
            return build_failure(f"the arguments are larger than {MAX_ARGUMENT_BYTES:,} bytes")
        try:
            arguments = from_json(payload, allow_inf_nan=False)
        except ValueError:
            return build_failure("the arguments are no JSON object")
        problem = await asyncio.to_thread(self._describe_problem, tool.name, arguments)
        if problem is not None:
            return build_failure(f"the arguments are not what {tool.name} takes: {problem}")
        try:
            request = build_request(tool, arguments)
        except UnfitArgumentError as error:
            return build_failure(f"the arguments are not what {tool.name} takes: {error}")
        return await self._client.call(tool, request)

    def _describe_problem(self, name: str, arguments: object) -> str | None:
        problem = next(self._tools[name].validator.iter_errors(arguments), None)
        if problem is None:
            return None
        where = "".join(f"[{part!r}]" for part in problem.instance_path)
        return f"{where + ': ' if where else ''}{problem.message}"[:_PROBLEM_CHARACTERS]


@asynccontextmanager
async def open_toolbox(path: Path | None, resolver: AbstractResolver | None = None) -> AsyncIterator[Toolbox]:
    """Without a file it is empty. Raises ToolFileError. `resolver` None: the system's."""
    tools = [] if path is None else load_tools(path)
    client = ToolClient(resolver)
    try:
        yield Toolbox(tools, client)
    finally:
        await client.close()


def load_tools(path: Path) -> list[Tool]:
    """JSON is YAML too."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        declared = ToolFile.model_validate(content, context={FOLDER: path.parent})
    except (OSError, UnicodeDecodeError) as error:
        raise ToolFileError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ToolFileError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ToolFileError(f"{path}: {where + ': ' if where else ''}{problem['msg']}") from error
    return [Tool(tool, _build_validator(path, tool)) for tool in declared.tools]


def _build_validator(path: Path, tool: HttpTool) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(tool.parameters, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except ValueError as error:
        reason = str(error).partition("\n")[0][:_PROBLEM_CHARACTERS]
        raise ToolFileError(f"{path}: the parameters of {tool.name} are no JSON schema: {reason}") from error
