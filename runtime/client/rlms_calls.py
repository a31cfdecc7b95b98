"""Answers what code in the sandbox asks of an `rlms` program: sub-calls by the library's own handler, and its tools.

`rlms_environment.py` owns one per environment. Every completed call is recorded, as the library wants it for a cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json
from rlm.core.comms_utils import LMRequest, LMResponse, send_lm_request, send_lm_request_batched
from rlm.core.types import RLMChatCompletion

from runtime.client.remote_session import HostCallError
from runtime.client.tool_calls import TOOL, read_tool_call
from runtime.inference.errors import SandboxUnavailableError
from runtime.wire import HostCall

LLM_QUERY: Final = "llm_query"
RLM_QUERY: Final = "rlm_query"

Subcall = Callable[[str, str | None], RLMChatCompletion]


class _Prompts(BaseModel):
    prompts: list[str]
    model: str | None


class RlmsCalls:
    """`handler` is the address of the library's LMHandler, `depth` what it routes by; with `subcall`, rlm_query asks a
    child run, at most `concurrency` at once."""

    def __init__(
        self,
        handler: tuple[str, int] | None,
        depth: int,
        subcall: Subcall | None,
        concurrency: int,
        tools: Mapping[str, Callable[..., Any]],
    ) -> None:
        self.handler = handler
        self._depth = depth
        self._subcall = subcall
        self._concurrency = concurrency
        self._tools = tools
        self._made: list[RLMChatCompletion] = []

    def take_made(self) -> list[RLMChatCompletion]:
        """The completions since the last time."""
        made, self._made = self._made, []
        return made

    def answer(self, call: HostCall) -> str:
        """Any code in the session can call with any payload, so it is checked."""
        if call.name == TOOL:
            return self._use_tool(call)
        try:
            asked = _Prompts.model_validate_json(call.payload)
        except ValidationError as error:
            raise HostCallError(f"{call.name}: the call is not as the REPL's functions make it") from error
        is_child = call.name == RLM_QUERY and self._subcall is not None
        answers = self._ask_children(asked) if is_child else self._ask_model(asked)
        return json.dumps({"answers": answers})

    def _ask_model(self, asked: _Prompts) -> list[str]:
        if self.handler is None:
            return ["Error: No LM handler configured"] * len(asked.prompts)
        if len(asked.prompts) == 1:
            request = LMRequest(prompt=asked.prompts[0], model=asked.model, depth=self._depth)
            responses = [send_lm_request(self.handler, request)]
        else:
            responses = send_lm_request_batched(self.handler, asked.prompts, model=asked.model, depth=self._depth)
        return [self._read(response) for response in responses]

    def _read(self, response: LMResponse) -> str:
        if not response.success:
            return f"Error: {response.error}"
        self._made.append(response.chat_completion)
        return str(response.chat_completion.response)

    def _ask_children(self, asked: _Prompts) -> list[str]:
        """Same order. What a child answers is recorded in that order too."""
        with ThreadPoolExecutor(max(1, min(self._concurrency, len(asked.prompts)))) as pool:
            outcomes = list(pool.map(lambda prompt: self._ask_child(prompt, asked.model), asked.prompts))
        self._made += [outcome for outcome in outcomes if not isinstance(outcome, str)]
        return [outcome if isinstance(outcome, str) else str(outcome.response) for outcome in outcomes]

    def _ask_child(self, prompt: str, model: str | None) -> RLMChatCompletion | str:
        if self._subcall is None:
            raise TypeError("a child run needs the library's function for it")
        try:
            return self._subcall(prompt, model)
        except SandboxUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever ends a child is its answer, as with the library's own environments
            return f"Error: RLM query failed - {error}"

    def _use_tool(self, call: HostCall) -> str:
        tool, asked = read_tool_call(call, self._tools)
        try:
            value = tool(*asked.positional, **asked.named)
        except Exception as error:
            raise HostCallError(f"{type(error).__name__}: {error}") from error
        try:
            return to_json({"value": value}).decode()
        except PydanticSerializationError as error:
            raise HostCallError(
                f"{asked.name} gave a {type(value).__name__}, which has no JSON form and cannot go into the sandbox"
            ) from error
