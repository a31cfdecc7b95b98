"""A dspy CodeInterpreter whose code runs in the sandbox: dspy.RLM("…", interpreter_factory=SandboxInterpreter).

One object is one session: dspy makes one for each call of a module, gives it tools and output fields, and ends it.
Inputs are sent once, however many cells are given them again. Reasons, and what differs: docs/design/0021.
"""

from __future__ import annotations

import ast
import json
import keyword
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from dspy.primitives.code_interpreter import CodeExecutionError, CodeInterpreterError, FinalOutput
from pydantic_core import PydanticSerializationError, to_json

from runtime.client.dspy_tools import Tools, answer_call
from runtime.client.pool_address import PoolAddress
from runtime.client.remote_session import RemoteSession, demand_session, describe_end
from runtime.client.tool_calls import TOOL
from runtime.inference.errors import SandboxUnavailableError
from runtime.inference.sandbox_client import DEFAULT_CELL_TIMEOUT
from runtime.wire import CellReply, HostCall, SessionRequest, Status

PATIENCE: Final = 60.0  # seconds to keep asking a pool that is busy: a run that was paid for should not end for that
_FINAL_EVENT: Final = "dspy.final"
_FINAL_VARIABLE: Final = "__rlm_final__"
_ARRIVING: Final = "__rlm_arriving__"
_OWN_NAMES: Final = frozenset({"SUBMIT", "__builtins__", "__rlm_dspy__"})
_SYNTAX_ERRORS: Final = frozenset({"SyntaxError", "IndentationError", "TabError"})


class SandboxInterpreter:
    """A session at `wasm_service_url` (else WASM_SERVICE_URL; key and TLS as with RemoteREPLEnv), made by `start` or
    the first `execute`. `timeout`: seconds of running time per cell; tools take none of it.

    A session that is lost, or a sandbox that is away, ends the interpreter: CodeInterpreterError then and later.
    """

    execution_instructions = (
        "Python runs in a WebAssembly sandbox with the standard library, without files of the host, network, threads "
        "or subprocesses. State persists across executions. Tools and SUBMIT are global functions; tools take and "
        "return JSON values. A cell that runs too long is undone."
    )

    def __init__(
        self,
        tools: Tools | None = None,
        output_fields: list[dict[str, Any]] | None = None,
        *,
        wasm_service_url: str | None = None,
        api_key_file: Path | str | None = None,
        tls_dir: Path | str | None = None,
        timeout: float = DEFAULT_CELL_TIMEOUT,
    ) -> None:
        self.tools: Tools = dict(tools or {})
        self.output_fields = output_fields
        sources = resources.files("runtime.client")
        prelude = [sources.joinpath(name).read_text(encoding="utf-8") for name in ("tool_guest.py", "dspy_guest.py")]
        request = SessionRequest(session_id=uuid.uuid4().hex, prelude="\n\n".join(prelude), host_functions=[TOOL])
        address = PoolAddress.find(wasm_service_url, api_key_file, tls_dir)
        self._session = RemoteSession(address, request, timeout=timeout, patience=PATIENCE)
        self._configured: tuple[str, str] | None = None
        self._sent: dict[str, str | bytes] = {}
        self._is_running = threading.Lock()
        self._ended: str | None = None

    @classmethod
    def factory(cls, **options: Any) -> InterpreterFactory:
        """For `interpreter_factory`, where the sandbox is not the one that the environment names."""
        return InterpreterFactory(options)

    @property
    def session_id(self) -> str:
        return self._session.id

    def start(self) -> None:
        """Make the session; nothing happens when it is there."""
        self._guarded(self._session.start)

    def execute(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        """Run one cell, with `variables` (any JSON values) as they are given here, whatever earlier cells made of them.

        FinalOutput after SUBMIT; else what was printed (str), or the value of a trailing expression (its repr where it
        is no JSON value), or both (list), or None. Raises SyntaxError, CodeExecutionError for what the code did wrong,
        CodeInterpreterError when there is no session to go on with.
        """
        if not self._is_running.acquire(blocking=False):
            raise CodeInterpreterError("this interpreter is running a cell; a tool cannot execute another one in it")
        try:
            return self._guarded(lambda: self._execute(code, variables or {}))
        finally:
            self._is_running.release()

    def _guarded(self, use: Callable[[], Any]) -> Any:
        """The seam where the client's errors become dspy's."""
        if self._ended is not None:
            raise CodeInterpreterError(f"this interpreter has ended; make a new one ({self._ended})")
        try:
            return use()
        except SandboxUnavailableError as error:
            self._end(str(error))
            raise CodeInterpreterError(str(error)) from error

    def _execute(self, code: str, variables: dict[str, Any]) -> Any:
        self._configure()
        self._bind(variables)
        reply = demand_session(self._session.run(code, self._answer))
        if reply.status is not Status.OK:
            raise _build_error(reply)
        if any(event.name == _FINAL_EVENT for event in reply.events):
            return FinalOutput(json.loads(self._session.get_text(_FINAL_VARIABLE)))
        return _read_output(reply)

    def _answer(self, call: HostCall) -> str:
        return answer_call(self.tools, call)

    def _configure(self) -> None:
        """dspy fills `tools` and `output_fields` after it made the interpreter, so each cell looks."""
        fields = [field["name"] for field in self.output_fields] if self.output_fields else ["output"]
        _check_names([*self.tools, *fields])
        wanted = json.dumps(list(self.tools)), json.dumps(fields)
        if wanted != self._configured:
            self._call(f"configure({wanted[0]!r}, {wanted[1]!r})")
            self._configured = wanted

    def _bind(self, variables: dict[str, Any]) -> None:
        _check_names(variables)
        if taken := variables.keys() & self.tools.keys():
            raise CodeInterpreterError(f"these variables have the names of tools: {sorted(taken)}")
        for name, value in variables.items():
            encoded = _encode(name, value)
            if self._sent.get(name) != encoded:
                is_json = isinstance(encoded, bytes)
                self._session.put(_ARRIVING, encoded.decode() if isinstance(encoded, bytes) else encoded)
                self._call(f"take({name!r}, {_ARRIVING!r}, {is_json})")
                self._sent[name] = encoded
        if variables:
            self._call(f"bind({json.dumps(list(variables))!r})")

    def _call(self, what: str) -> None:
        """A cell of the interpreter's own."""
        reply = demand_session(self._session.run(f"__rlm_dspy__.{what}"))
        if reply.status is not Status.OK:
            why = f"the session could not take its inputs or tools: {describe_end(reply) or reply.stderr[-2000:]}"
            self._end(why)
            raise CodeInterpreterError(why)

    def shutdown(self) -> None:
        """End the session. It may be called again."""
        self._end("it was shut down")

    def _end(self, why: str) -> None:
        self._ended = self._ended or why
        self._session.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()

    def __call__(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        return self.execute(code, variables)


@dataclass(frozen=True)
class InterpreterFactory:
    """Makes an interpreter for each call of a module; dspy tells the model what it says of the runtime."""

    options: dict[str, Any]
    execution_instructions = SandboxInterpreter.execution_instructions

    def __call__(self) -> SandboxInterpreter:
        return SandboxInterpreter(**self.options)


def _check_names(names: Any) -> None:
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name in _OWN_NAMES:
            raise CodeInterpreterError(f"{name!r} cannot be the name of a tool, a variable or an output field")


def _encode(name: str, value: Any) -> str | bytes:
    """Text as it is, other values as JSON."""
    if isinstance(value, str):
        return value
    try:
        return to_json(value, inf_nan_mode="constants")
    except PydanticSerializationError as error:
        raise CodeInterpreterError(f"{name}: a {type(value).__name__} cannot go into the sandbox: {error}") from error


def _read_output(reply: CellReply) -> Any:
    printed = (reply.stdout + reply.stderr).rstrip("\n")
    if reply.result is None:
        return printed or None
    value = _read_value(reply.result)
    return [printed, value] if printed else value


def _read_value(shown: str) -> Any:
    """The value behind a repr where that is a plain literal; else the repr itself, as for one that was cut."""
    try:
        value = ast.literal_eval(shown)
        json.dumps(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return shown
    return value


def _build_error(reply: CellReply) -> Exception:
    kind, message = (reply.error.type, reply.error.message) if reply.error else (reply.status.value, "")
    if kind in _SYNTAX_ERRORS:
        return SyntaxError(f"{kind}: {message}")
    said = describe_end(reply) or f"{kind}: {message}"
    error: Exception = CodeExecutionError(f"{said}\nPrinted before:\n{reply.stdout}" if reply.stdout else said)
    return error
