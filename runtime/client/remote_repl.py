"""A Python REPL whose code runs in the sandbox.

For programs that bring their own RLM loop: one object is one session, variables stay from call to call.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runtime.client.pool_address import PoolAddress
from runtime.client.remote_session import RemoteSession, describe_end
from runtime.inference.sandbox_client import DEFAULT_CELL_TIMEOUT
from runtime.wire import CellReply, Local, LocalsMode, SessionRequest


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
        address = PoolAddress.find(wasm_service_url, api_key_file, tls_dir)
        self.url = address.url
        self._session = RemoteSession(address, SessionRequest(session_id=self.session_id), timeout=timeout)

    def code_execution(self, code: str) -> REPLResult:
        """Run code. What the code does wrong is in `stderr`, also when it was stopped."""
        return _build_result(self._session.run(code, mode=LocalsMode.VALUES))

    def close(self) -> None:
        """End the session. One that cannot be reached ends by the pool's idle timeout."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _build_result(reply: CellReply) -> REPLResult:
    end = describe_end(reply)
    return REPLResult(
        stdout=reply.stdout,
        stderr=reply.stderr + (end + "\n" if end else ""),
        locals={name: read_value(local) for name, local in reply.locals.items()},
        execution_time=reply.execution_time,
    )


def read_value(local: Local) -> Any:
    """The value, or its repr. None is a value too, so what counts is whether the reply has one."""
    return local.value if "value" in local.model_fields_set else local.repr
