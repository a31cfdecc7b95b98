"""How many sessions a pool holds: what a pod of its size has room for. Pure.

The status tells it of ready pods. How many are free changes with every session and only the pods know; they say so in
their metrics (`wasm_sessions`), since a status that followed would be written with every session.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from rlm_operator.spec.base import Quantity
from rlm_operator.spec.pool import SandboxPoolSpec

_MEBI: Final = 2**20
_SESSION_BYTES: Final = MappingProxyType({"stdlib": 8 * _MEBI, "scientific": 12 * _MEBI, "pyodide": 160 * _MEBI})
"""Memory that the server counts for a session of a built-in guest; a test compares with runtime/sandbox."""
_SERVER_BYTES: Final = 200 * _MEBI
_USABLE: Final = 0.85
_UNSHARED: Final = "pyodide"
"""Its sessions share no memory, so spares take room too: at most one in four."""
_SPARE_SHARE: Final = 4


def sessions_per_pod(spec: SandboxPoolSpec) -> int | None:
    """Live sessions that one pod takes, counted as the server does (SandboxSettings.session_cap). None for a guest of
    one's own without `limits.maxSessions`: only its pods know its size."""
    if spec.limits.max_sessions is not None:
        return spec.limits.max_sessions
    size = _SESSION_BYTES.get(spec.image)
    if size is None:
        return None
    memory = Quantity(spec.resources.filled()["limits"]["memory"])
    fitting = (int(int(memory.value) * _USABLE) - _SERVER_BYTES) // size
    spares = min(spec.sessions.spares, max(1, fitting // _SPARE_SHARE)) if spec.image == _UNSHARED else 0
    return max(1, fitting - spares)


def spares_per_pod(spec: SandboxPoolSpec) -> int | None:
    """Sessions that one pod keeps started and waiting; None for a guest whose size is not known."""
    if spec.image not in _SESSION_BYTES:
        return None
    if spec.image != _UNSHARED:
        return spec.sessions.spares
    memory = Quantity(spec.resources.filled()["limits"]["memory"])
    fitting = (int(int(memory.value) * _USABLE) - _SERVER_BYTES) // _SESSION_BYTES[_UNSHARED]
    return min(spec.sessions.spares, max(1, fitting // _SPARE_SHARE))


def build_capacity(spec: SandboxPoolSpec, ready: int) -> dict[str, int]:
    """The status field: sessions and spares of `ready` pods, without what is not known."""
    known = {"sessions": sessions_per_pod(spec), "spares": spares_per_pod(spec)}
    return {name: each * ready for name, each in known.items() if each is not None}
