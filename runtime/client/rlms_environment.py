"""An environment for the library `rlms` (alexzhang13/rlm): its REPL, with the code in the sandbox and nowhere else.

`SandboxRLM` makes one per completion, or per conversation with `persistent=True`; a program with a loop of its own can
use it by itself. It has what the library's LocalREPL has: the names of the REPL, contexts and histories by number,
sub-calls answered by the library's handler, recorded calls, custom tools, compaction. Differences: docs/design/0021.
"""

from __future__ import annotations

import keyword
import uuid
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self

from rlm.core.types import REPLResult
from rlm.environments.base_env import IsolatedEnv, extract_tool_value, validate_custom_tools

from runtime.client.pool_address import PoolAddress
from runtime.client.remote_repl import read_value
from runtime.client.remote_session import RemoteSession, demand_session, describe_end
from runtime.client.rlms_calls import LLM_QUERY, RLM_QUERY, RlmsCalls, Subcall
from runtime.client.tool_calls import TOOL
from runtime.inference.sandbox_client import DEFAULT_CELL_TIMEOUT
from runtime.wire import CellReply, Local, LocalsMode, SessionRequest, Status

PATIENCE: Final = 60.0  # seconds to keep asking a pool that is busy: a run that was paid for should not end for that
_FINAL_EVENT: Final = "rlm.final"
_FINAL_VARIABLE: Final = "__rlm_final__"
_ENTRY: Final = "__rlms_entry__"
_FURTHER_NAMES: Final = frozenset({"FINAL", "FINAL_VAR", "SUBMIT", "parent_context"})
_PLAIN_TYPES: Final = frozenset({"str", "int", "float", "bool", "list", "dict", "tuple"})


class SandboxValue:
    """A variable that stayed in the sandbox, such as a function; its repr is what the sandbox said."""

    def __init__(self, local: Local) -> None:
        self.type = local.type
        self._repr = local.repr

    def __repr__(self) -> str:
        return self._repr


class SandboxREPL(IsolatedEnv):  # type: ignore[misc]  # rlms is not among the dependencies that mypy sees
    """One session at `wasm_service_url` (else WASM_SERVICE_URL; key and TLS as elsewhere), made at once.

    Raises SandboxUnavailableError of `runtime.inference.errors` when the sandbox cannot be used, and its subclass
    SessionLostError when the session and its variables are gone: then `cleanup`, and begin again with a new one.
    """

    def __init__(
        self,
        lm_handler_address: tuple[str, int] | None = None,
        context_payload: Any = None,
        setup_code: str | None = None,
        persistent: bool = False,
        depth: int = 1,
        subcall_fn: Subcall | None = None,
        custom_tools: dict[str, Any] | None = None,
        custom_sub_tools: dict[str, Any] | None = None,
        compaction: bool = False,
        max_concurrent_subcalls: int = 4,
        *,
        wasm_service_url: str | None = None,
        api_key_file: Path | str | None = None,
        tls_dir: Path | str | None = None,
        timeout: float = DEFAULT_CELL_TIMEOUT,
    ) -> None:
        """The parameters of the library's environments, by their names and in their order; then where the sandbox is,
        and `timeout`, seconds of running time per cell."""
        super().__init__(persistent=persistent, depth=depth, max_concurrent_subcalls=max_concurrent_subcalls)
        self.custom_tools = custom_tools or {}
        self.custom_sub_tools = self.custom_tools if custom_sub_tools is None else custom_sub_tools
        self.compaction = compaction
        functions, self._data = _split_tools(self.custom_tools)
        self._calls = RlmsCalls(lm_handler_address, depth, subcall_fn, max_concurrent_subcalls, functions)
        self._context_count = 0
        self._history_count = 0
        request = SessionRequest(
            session_id=uuid.uuid4().hex,
            prelude=_build_prelude(list(functions)),
            host_functions=[LLM_QUERY, RLM_QUERY, TOOL],
        )
        address = PoolAddress.find(wasm_service_url, api_key_file, tls_dir)
        self._session = RemoteSession(address, request, timeout=timeout, patience=PATIENCE)
        try:
            self.setup()
            if context_payload is not None:
                self.load_context(context_payload)
            if setup_code:
                self._set_up(setup_code)
        except BaseException:
            self.cleanup()
            raise

    @property
    def session_id(self) -> str:
        return self._session.id

    def setup(self) -> None:
        """Make the session, with the tools that are data."""
        self._session.start()
        for name, value in self._data.items():
            self._session.put(name, value)
        self._call("compact()" if self.compaction else "alias()")

    def _set_up(self, code: str) -> None:
        result = self.execute_code(code)
        if result.stderr:
            raise ValueError(f"setup_code failed in the sandbox: {result.stderr[-2000:]}")

    def load_context(self, context_payload: Any) -> None:
        """As `context_0`, which is `context` too."""
        self.add_context(context_payload, 0)

    def add_context(self, context_payload: Any, context_index: int | None = None) -> int:
        """Text or any JSON value as `context_N`; the index that it got."""
        index = self._context_count if context_index is None else context_index
        self._put(f"context_{index}", context_payload, index)
        self._context_count = max(self._context_count, index + 1)
        return index

    def get_context_count(self) -> int:
        return self._context_count

    def add_history(self, message_history: list[dict[str, Any]], history_index: int | None = None) -> int:
        """The messages of one completion as `history_N`; the index that it got."""
        index = self._history_count if history_index is None else history_index
        self._put(f"history_{index}", message_history, index)
        self._history_count = max(self._history_count, index + 1)
        return index

    def get_history_count(self) -> int:
        return self._history_count

    def _put(self, name: str, value: Any, index: int) -> None:
        self._session.put(name, value)
        if index == 0:
            self._call("alias()")

    def update_handler_address(self, address: tuple[str, int]) -> None:
        """A new completion begins: sub-calls go there from now on, and there is no answer yet."""
        self._calls.handler = address
        self._call("ask_again()")

    def append_compaction_entry(self, entry: list[dict[str, Any]] | dict[str, Any]) -> None:
        """Add a piece of the conversation, or its summary, to `history`."""
        if self.compaction:
            self._session.put(_ENTRY, entry)
            self._call(f"append({_ENTRY!r})")

    def _call(self, what: str) -> None:
        """A cell of the environment's own."""
        reply = demand_session(self._session.run(f"__rlms__.{what}", self._calls.answer))
        if reply.status is not Status.OK:
            raise RuntimeError(f"the REPL's own functions were broken by code in the session:\n{reply.stderr[-2000:]}")

    def execute_code(self, code: str) -> REPLResult:
        """Run one cell. What it does wrong is in `stderr`; one that ran too long is taken back as if it never ran."""
        self._calls.take_made()
        reply = demand_session(self._session.run(code, self._calls.answer, LocalsMode.VALUES))
        end = describe_end(reply)
        return REPLResult(
            stdout=reply.stdout,
            stderr=reply.stderr + (end + "\n" if end else ""),
            locals={name: _show(local) for name, local in reply.locals.items()},
            execution_time=reply.execution_time,
            rlm_calls=self._calls.take_made(),
            final_answer=self._find_final(reply),
        )

    def _find_final(self, reply: CellReply) -> str | None:
        """From a variable, so that no cap of a reply cuts it."""
        is_final = any(event.name == _FINAL_EVENT for event in reply.events)
        return self._session.get_text(_FINAL_VARIABLE) if is_final else None

    def cleanup(self) -> None:
        """End the session."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()


def _show(local: Local) -> Any:
    """The library names the variables of plain types to the model, so that others must not look like one."""
    has_value = "value" in local.model_fields_set
    return read_value(local) if has_value or local.type in _PLAIN_TYPES else SandboxValue(local)


def _split_tools(tools: dict[str, Any]) -> tuple[dict[str, Callable[..., Any]], dict[str, Any]]:
    """Those that are functions, which run in this process, and those that are data, which go into the session."""
    validate_custom_tools(tools)
    for name in tools:
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__") or name in _FURTHER_NAMES:
            raise ValueError(f"custom tool {name!r}: its name is no identifier, or one that the REPL uses itself")
    values = {name: extract_tool_value(entry) for name, entry in tools.items()}
    functions = {name: value for name, value in values.items() if callable(value)}
    return functions, {name: value for name, value in values.items() if name not in functions}


def _build_prelude(tool_names: list[str]) -> str:
    sources = {"runtime.inference": ["prelude.py"], "runtime.client": ["tool_guest.py", "rlms_guest.py"]}
    texts = [
        resources.files(package).joinpath(name).read_text(encoding="utf-8")
        for package, names in sources.items()
        for name in names
    ]
    begin = f"_extend(globals(), {{name: _build_tool(name) for name in {tool_names!r}}})\ndel _extend, _build_tool\n"
    return "\n\n".join([*texts, begin])
