"""A Python REPL whose code runs in the sandbox.

For programs that bring their own RLM loop: one object is one session, variables stay from call to call.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from runtime.client.loop_thread import LoopThread
from runtime.inference.errors import SandboxUnavailableError
from runtime.inference.sandbox_client import DEFAULT_CELL_TIMEOUT, SandboxClient
from runtime.inference.sandbox_tls import open_sandbox_tls
from runtime.wire import CellReply, ExecuteRequest, Local, LocalsMode, SessionRequest, Status

DEFAULT_SERVICE_URL: Final = "http://wasm-repl-service:8000"


@dataclass(frozen=True)
class REPLResult:
    """What one piece of code did. `locals` has the value of each variable, or its repr where it has no JSON form."""

    stdout: str
    stderr: str
    locals: dict[str, Any] = field(default_factory=dict)
    execution_time: float = 0.0  # seconds, on the sandbox's host


class RemoteREPLEnv:
    """A session at `wasm_service_url` (else WASM_SERVICE_URL, else the cluster's service), made at the first call.

    The bearer key is read from `api_key_file`, else from the file that WASM_API_KEY_FILE names; the authority of an
    https:// address and a client certificate come from `tls_dir`, else from the folder that WASM_TLS_DIR names. Not for
    several threads at once. Raises the errors of `runtime.inference.errors` when the sandbox cannot be used or lost the
    session, ValueError when the folder cannot be used.
    """

    def __init__(
        self,
        wasm_service_url: str | None = None,
        *,
        api_key_file: Path | None = None,
        tls_dir: Path | None = None,
        timeout: float = DEFAULT_CELL_TIMEOUT,
    ) -> None:
        """`timeout`: seconds of running time per call; HTTP waits 5 s longer."""
        self.session_id = uuid.uuid4().hex
        self.url = service_url(wasm_service_url)
        self._key_file = api_key_file or path_from_environment("WASM_API_KEY_FILE")
        self._tls = open_sandbox_tls(self.url, tls_dir or path_from_environment("WASM_TLS_DIR"))
        self._timeout = timeout
        self._thread = LoopThread()
        self._client: SandboxClient | None = None

    def code_execution(self, code: str) -> REPLResult:
        """Run code. What the code does wrong is in `stderr`, also when it was stopped."""
        return _build_result(self._thread.run(self._execute(code)))

    async def _execute(self, code: str) -> CellReply:
        if self._client is None:
            tls = self._tls.following_context() if self._tls is not None else None
            self._client = SandboxClient(self.url, self._key_file, tls=tls)
            await self._client.create_session(SessionRequest(session_id=self.session_id))
        return await self._client.execute(
            ExecuteRequest(
                code=code, session_id=self.session_id, create=False, timeout=self._timeout, locals=LocalsMode.VALUES
            )
        )

    def close(self) -> None:
        """End the session. One that cannot be reached ends by the pool's idle timeout."""
        try:
            self._thread.run(self._close())
        finally:
            self._thread.close()

    async def _close(self) -> None:
        if self._client is not None:
            try:
                with contextlib.suppress(SandboxUnavailableError):
                    await self._client.delete(self.session_id)
            finally:
                await self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def service_url(given: str | None) -> str:
    """The argument, else WASM_SERVICE_URL, else the name of the cluster's service."""
    return given or os.environ.get("WASM_SERVICE_URL") or DEFAULT_SERVICE_URL


def path_from_environment(variable: str) -> Path | None:
    path = os.environ.get(variable)
    return Path(path) if path else None


def _build_result(reply: CellReply) -> REPLResult:
    stderr = reply.stderr
    if reply.status not in {Status.OK, Status.ERROR}:
        reason = reply.error.message if reply.error else reply.status.value
        state = "; variables are as they were before it" if reply.rolled_back else ""
        stderr += f"{reply.status}: {reason}{state}\n"
    return REPLResult(
        stdout=reply.stdout,
        stderr=stderr,
        locals={name: _value(local) for name, local in reply.locals.items()},
        execution_time=reply.execution_time,
    )


def _value(local: Local) -> Any:
    """None is a value too, so what counts is whether the reply has one."""
    return local.value if "value" in local.model_fields_set else local.repr
