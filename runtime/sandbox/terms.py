"""What a session or a cell gets of what its caller asks for: at most what the pool allows. Asked by `service`."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.sandbox.dialogue import SessionOptions
from runtime.sandbox.errors import RequestError
from runtime.sandbox.settings import SandboxSettings
from runtime.wire import CheckpointPolicy, ErrorCode, SessionRequest


class Terms:
    """Of one pool."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings

    def seconds(self, asked: float | None) -> float:
        """A cell's running time; more than the pool's is cut."""
        return min(asked or self._settings.timeout_seconds, self._settings.timeout_seconds)

    def options(self, request: SessionRequest) -> SessionOptions:
        """RequestError: 422 for a limit above the pool's."""
        memory = _within("memory", request.limits.memory, self._settings.memory_bytes)
        output = _within("output", request.limits.output, self._settings.output_bytes)
        policy = self._policy(request.checkpoint)
        return SessionOptions(tuple(request.host_functions), policy, output, memory, request.seed, request.sealed)

    def bare_options(self, host_functions: Sequence[str] | None, checkpoint: CheckpointPolicy) -> SessionOptions:
        """Of a session that a cell makes by asking for it."""
        settings = self._settings
        policy = self._policy(checkpoint)
        return SessionOptions(tuple(host_functions or ()), policy, settings.output_bytes, settings.memory_bytes)

    def _policy(self, asked: CheckpointPolicy) -> CheckpointPolicy:
        """Any policy may be asked for; a session that cannot roll back has none, and says so."""
        return asked if self._settings.guest_image.rollback else CheckpointPolicy.OFF


def _within(name: str, asked: int | None, pool: int) -> int:
    if asked is not None and asked > pool:
        raise RequestError(ErrorCode.LIMIT_EXCEEDED, f"{name}: {asked} bytes asked, this pool allows {pool}")
    return asked or pool
