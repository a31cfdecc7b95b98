"""ConfigMap with every setting of a plane that is no secret, and the variables that carry them to the process.

Design record 0001 lists the keys. The variable of key `max-queue` is `SANDBOX_MAX_QUEUE` or `RLM_MAX_QUEUE`, that of
`log-level` is `LOG_LEVEL` in both planes. A key that is absent leaves the process its default.
"""

from __future__ import annotations

from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.pool import SandboxPoolSpec
from rlm_operator.spec.workload import LogSettings


def build_config_map(plane: Plane, settings: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": build_metadata(plane), "data": settings}


def build_settings_env(config_map: str, prefix: str, settings: dict[str, str]) -> list[Manifest]:
    """One variable per key, in the order of the settings."""
    return [
        {
            "name": _variable(prefix, key),
            "valueFrom": {"configMapKeyRef": {"name": config_map, "key": key}},
        }
        for key in settings
    ]


def sandbox_settings(spec: SandboxPoolSpec) -> dict[str, str]:
    """Settings of the sandbox plane by key. Callers of a sandbox always need a key."""
    limits, sessions = spec.limits, spec.sessions
    settings: dict[str, str | None] = {
        **logging_settings(spec.logging),
        "auth-mode": "APIKey",
        "image": spec.image,
        "timeout-seconds": limits.timeout.seconds_text,
        "memory-bytes": limits.memory.bytes_text,
        "cpu-shares": str(limits.cpu_shares),
        "output-bytes": limits.output_bytes.bytes_text,
        "max-sessions": text_of(limits.max_sessions),
        "max-concurrent-executions": text_of(limits.max_concurrent_executions),
        "max-queue": str(limits.max_queue),
        "spares": str(sessions.spares),
        "idle-timeout-seconds": sessions.idle_timeout.seconds_text,
        "lifetime-seconds": sessions.max_duration.seconds_text,
    }
    return present(settings)


def logging_settings(logging: LogSettings) -> dict[str, str | None]:
    return {"log-level": logging.level, "log-format": logging.format, "audit-log": str(logging.audit).lower()}


def text_of(number: int | None) -> str | None:
    return None if number is None else str(number)


def present(settings: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if value}


def _variable(prefix: str, key: str) -> str:
    name = key.replace("-", "_").upper()
    return name if key in ("log-level", "log-format") else f"{prefix}_{name}"
