"""The library `rlms` with its code in the sandbox: `rlm.RLM`, whose every environment is a SandboxREPL.

The library has no registry of environments: its class `RLM` makes them, from a fixed list of names. So this is a
subclass that makes another one, for child runs too. It gives its base a name that the library does not know, so that a
version with other inner methods fails with "Unknown environment" instead of running a model's code on this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from rlm import RLM
from rlm.clients import get_client
from rlm.core.lm_handler import LMHandler
from rlm.core.types import CodeBlock, RLMChatCompletion, RLMIteration, UsageSummary
from rlm.logger import RLMLogger

from runtime.client.rlms_environment import SandboxREPL
from runtime.inference.errors import SandboxUnavailableError
from runtime.inference.parsing import parse_reply

ENVIRONMENT: Final = "rlm-operator"
_TOOLS_FIELD: Final = "{custom_tools_section}"


class SandboxRLM(RLM):  # type: ignore[misc]  # rlms is not among the dependencies that mypy sees
    """`environment_kwargs`: where the sandbox is and the cells' timeout, see SandboxREPL; the rest is the library's.

    A sandbox that is away, or a session that is lost, ends a completion with SandboxUnavailableError of
    `runtime.inference.errors`: it is never an answer, and a conversation never goes on with an empty session.
    """

    _persistent_env: SandboxREPL | None

    def __init__(
        self,
        backend: str = "openai",
        backend_kwargs: dict[str, Any] | None = None,
        *,
        environment_kwargs: dict[str, Any] | None = None,
        custom_system_prompt: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            backend,
            backend_kwargs,
            environment=ENVIRONMENT,
            environment_kwargs=environment_kwargs,
            custom_system_prompt=_escape_braces(custom_system_prompt),
            **options,
        )

    def _validate_persistent_environment_support(self) -> None:
        """The library asks by name; this environment has all of it."""

    @contextmanager
    def _spawn_completion_context(self, prompt: Any) -> Iterator[tuple[LMHandler, SandboxREPL]]:
        """As in the library, with another environment."""
        other = get_client(self.other_backends[0], self.other_backend_kwargs[0]) if self.other_backends else None
        handler = LMHandler(get_client(self.backend, self.backend_kwargs), other_backend_client=other)
        if other is not None:
            handler.register_client(other.model_name, other)
        address = handler.start()
        environment = None
        try:
            environment = self._open_environment(prompt, address)
            yield handler, environment
        finally:
            handler.stop()
            if environment is not None and not self.persistent:
                environment.cleanup()

    def _open_environment(self, prompt: Any, address: tuple[str, int]) -> SandboxREPL:
        if self._persistent_env is not None:
            self._persistent_env.update_handler_address(address)
            self._persistent_env.add_context(prompt)
            return self._persistent_env
        environment = SandboxREPL(
            lm_handler_address=address,
            context_payload=prompt,
            persistent=self.persistent,
            depth=self.depth + 1,
            subcall_fn=self._subcall if self.max_depth > 1 else None,
            custom_tools=self.custom_tools,
            custom_sub_tools=self.custom_sub_tools,
            compaction=self.compaction,
            max_concurrent_subcalls=self.max_concurrent_subcalls,
            **self.environment_kwargs,
        )
        self._persistent_env = environment if self.persistent else None
        return environment

    def _completion_turn(self, prompt: Any, lm_handler: LMHandler, environment: SandboxREPL) -> RLMIteration:
        """As in the library, which cuts a cell at the first fence, also where that is inside a string."""
        began = time.perf_counter()
        response = lm_handler.completion(prompt)
        blocks = [CodeBlock(code=code, result=environment.execute_code(code)) for code in parse_reply(response).blocks]
        return RLMIteration(
            prompt=prompt, response=response, code_blocks=blocks, iteration_time=time.perf_counter() - began
        )

    def _subcall(self, prompt: str, model: str | None = None) -> RLMChatCompletion:
        """A child run, which has a session of its own; at the largest depth a plain completion.

        What ends a child is its answer, except that the sandbox is away. Called from several threads at once.
        """
        depth = self.depth + 1
        if depth >= self.max_depth:
            return super()._subcall(prompt, model)
        backend_kwargs = {**(self.backend_kwargs or {}), **({} if model is None else {"model_name": model})}
        name = str(backend_kwargs.get("model_name", "unknown"))
        if (left := self._time_left()) is not None and left <= 0:
            return _fail(name, prompt, "Timeout exhausted", 0.0)
        if (money := self._money_left()) is not None and money <= 0:
            return _fail(name, prompt, "Budget exhausted", 0.0)
        began = time.perf_counter()
        _tell(self.on_subcall_start, depth, name, prompt[:80])
        problem: str | None = None
        try:
            with self._build_child(depth, backend_kwargs, left, money) as child:
                completion = child.completion(prompt)
        except SandboxUnavailableError as error:
            problem = str(error)
            raise
        except Exception as error:  # noqa: BLE001  # whatever ends a child is its answer, as in the library
            problem = str(error)
            self._cumulative_cost += getattr(error, "spent", None) or 0.0
            return _fail(name, prompt, f"Child RLM completion failed - {error}", time.perf_counter() - began)
        else:
            self._cumulative_cost += completion.usage_summary.total_cost or 0.0
            return completion
        finally:
            _tell(self.on_subcall_complete, depth, name, time.perf_counter() - began, problem)

    def _time_left(self) -> float | None:
        if self.max_timeout is None or self._completion_start_time is None:
            return None
        return float(self.max_timeout - (time.perf_counter() - self._completion_start_time))

    def _money_left(self) -> float | None:
        return None if self.max_budget is None else float(self.max_budget - self._cumulative_cost)

    def _build_child(
        self, depth: int, backend_kwargs: dict[str, Any], timeout: float | None, budget: float | None
    ) -> SandboxRLM:
        return SandboxRLM(
            self.backend,
            backend_kwargs,
            environment_kwargs=self.environment_kwargs,
            custom_system_prompt=self.system_prompt,
            depth=depth,
            max_depth=self.max_depth,
            max_iterations=self.max_iterations,
            max_budget=budget,
            max_timeout=timeout,
            max_tokens=self.max_tokens,
            max_errors=self.max_errors,
            other_backends=self.other_backends,
            other_backend_kwargs=self.other_backend_kwargs,
            logger=RLMLogger() if self.logger else None,
            custom_tools=self.custom_sub_tools,
            custom_sub_tools=self.custom_sub_tools,
            max_concurrent_subcalls=self.max_concurrent_subcalls,
            on_subcall_start=self.on_subcall_start,
            on_subcall_complete=self.on_subcall_complete,
        )


def _escape_braces(prompt: str | None) -> str | None:
    """The library formats a system prompt; one that holds braces of its own (JSON, say) is meant as it stands."""
    if prompt is None:
        return None
    try:
        prompt.format(custom_tools_section="")
    except (LookupError, ValueError, AttributeError):
        escaped = prompt.replace("{", "{{").replace("}", "}}")
        return escaped.replace("{" + _TOOLS_FIELD + "}", _TOOLS_FIELD)
    return prompt


def _fail(model: str, prompt: str, problem: str, seconds: float) -> RLMChatCompletion:
    return RLMChatCompletion(
        root_model=model,
        prompt=prompt,
        response=f"Error: {problem}",
        usage_summary=UsageSummary(model_usage_summaries={}),
        execution_time=seconds,
    )


def _tell(callback: Callable[..., None] | None, *what: object) -> None:
    """A callback that fails must not end a run."""
    if callback is not None:
        with suppress(Exception):
            callback(*what)
