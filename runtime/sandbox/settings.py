"""Settings of the sandbox service, from the environment; the names are a contract (docs/design/0001)."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from runtime.sandbox.cpus import cpu_limit
from runtime.sandbox.frames import MAX_BODY
from runtime.sandbox.guest_catalogue import guest_folders
from runtime.sandbox.guest_image import NAME_CHARS, NAME_PATTERN, STDLIB, GuestImageError, default_folder
from runtime.sandbox.images import Image, image_called
from runtime.sandbox.memory_meter import find_meter
from runtime.settings import ServiceSettings

MEGABYTE: Final = 1 << 20
BASE_MEMORY: Final = 200 * MEGABYTE  # server, zygote and what of the artifact stays in memory
SPARE_SHARE: Final = 4  # one in so many sessions waits ready, where that takes memory
SMALLEST_SLOTS: Final = 8
SLOTS_PER_CPU: Final = 4


class SandboxSettings(ServiceSettings):
    """The sandbox service: runs Python cells in WebAssembly sessions over HTTP."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", extra="ignore", env_ignore_empty=True)

    guest_dir: Path = Field(default_factory=default_folder, description="folder of guests; may be read-only")
    image: str = Field(
        STDLIB.name, pattern=NAME_PATTERN, max_length=NAME_CHARS, description="guest image, built-in or baked"
    )
    timeout_seconds: float = Field(30.0, gt=0, allow_inf_nan=False, description="largest and default cell timeout")
    memory_bytes: int = Field(256 * MEGABYTE, ge=64 * MEGABYTE, le=4 << 30, description="guest memory of a session")
    cpu_shares: int = Field(256, ge=2, le=1024, description="CPU weight of a session; 1024 is nice 0")
    output_bytes: int = Field(MEGABYTE, ge=1024, le=16 * MEGABYTE, description="stdout and stderr of a cell, each")
    variable_bytes: int = Field(64 * MEGABYTE, ge=1024, le=MAX_BODY, description="largest variable in or out")
    max_sessions: int | None = Field(None, ge=1, description="live sessions; unset: from the memory limit")
    max_sessions_per_caller: int | None = Field(None, ge=1, description="of one key; unset: as many as there may be")
    max_concurrent_executions: int | None = Field(None, ge=1, description="cells at once; unset: max(8, 4 x CPUs)")
    max_queue: int = Field(100, ge=0, description="cells that may wait")
    queue_timeout_seconds: float = Field(4.0, gt=0, allow_inf_nan=False, description="longest wait in the queue")
    spares: int = Field(8, ge=0, le=64, description="sessions that wait ready")
    idle_timeout_seconds: float = Field(900.0, gt=0, allow_inf_nan=False, description="idle sessions end after this")
    lifetime_seconds: float = Field(86_400.0, gt=0, allow_inf_nan=False, description="sessions end after this, idle")
    park_seconds: float = Field(5.0, gt=0, allow_inf_nan=False, description="idle sessions keep one process after this")
    suspend_timeout_seconds: float = Field(60.0, gt=0, allow_inf_nan=False, description="unanswered host calls too")
    audit_log: bool = Field(False, description="true: one JSON line per event on stdout, never code or output")
    cache_bytes: int = Field(16 * MEGABYTE, ge=0, le=1 << 30, description="replies to cacheable requests; 0: none")
    drain_seconds: float = Field(30.0, ge=0, allow_inf_nan=False, description="longest wait for cells at the end")

    @field_validator("image")
    @classmethod
    def _is_there(cls, name: str, validated: ValidationInfo) -> str:
        if "guest_dir" in validated.data:
            try:
                image_called(name, guest_folders(validated.data["guest_dir"]))
            except GuestImageError as error:
                raise ValueError(str(error)) from error
        return name

    @cached_property
    def guest_image(self) -> Image:
        return image_called(self.image, guest_folders(self.guest_dir))

    def session_cap(self) -> int:
        """`max_sessions`, else what the memory limit holds."""
        if self.max_sessions is not None:
            return self.max_sessions
        spares = 0 if self.guest_image.shared else self.spare_count()
        return max(1, self._sessions_that_fit() - spares)

    def spare_count(self) -> int:
        """`spares`; where one takes as much memory as a session, at most a quarter of what fits."""
        if self.guest_image.shared:
            return self.spares
        return min(self.spares, max(1, self._sessions_that_fit() // SPARE_SHARE))

    def _sessions_that_fit(self) -> int:
        meter = find_meter()
        return (int(meter.limit * meter.share) - BASE_MEMORY) // self.guest_image.session_memory

    def slots(self) -> int:
        if self.max_concurrent_executions is not None:
            return self.max_concurrent_executions
        return max(SMALLEST_SLOTS, math.ceil(SLOTS_PER_CPU * cpu_limit()))
