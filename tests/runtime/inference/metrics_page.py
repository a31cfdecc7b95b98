"""Reads /metrics of the services under test, and waits until it says what a test waits for."""

from __future__ import annotations

import asyncio

from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.service import Service

DEADLINE = 60.0
STATES = ("idle", "running", "suspended")


async def metrics(service: Service, url: str) -> dict[str, float]:
    """All samples of a /metrics page, by name with labels."""
    async with service.http.get(f"{url}/metrics") as response:
        lines = [line for line in (await response.text()).splitlines() if not line.startswith("#")]
    return {sample: float(value) for sample, _, value in (line.rpartition(" ") for line in lines)}


async def until_metrics(service: Service, url: str, **wanted: float) -> None:
    """All at once. A state of `wasm_sessions` is named by itself."""
    names = {name: f'wasm_sessions{{state="{name}"}}' if name in STATES else name for name in wanted}
    async with asyncio.timeout(DEADLINE):
        while True:
            samples = await metrics(service, url)
            if all(samples.get(sample, 0.0) == wanted[name] for name, sample in names.items()):
                return
            await asyncio.sleep(0.02)


async def until_ended(service: Service, sandbox: SandboxProcess) -> None:
    """No run is active, and the sandbox holds none of their sessions."""
    await until_metrics(service, service.url, rlm_active_runs=0)
    await until_metrics(service, sandbox.url, idle=0, running=0, suspended=0)
