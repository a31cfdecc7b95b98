"""The inference service of one test: real sockets, in the test's own event loop, so that a test can look inside."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import openai

from runtime.inference.app import DEFAULT_PACE, build_server
from runtime.inference.engine import Engine, open_engine
from runtime.inference.metrics import Metrics
from runtime.inference.replies import Pace
from runtime.inference.settings import InferenceSettings
from runtime.inference.storage import Storage, open_storage
from runtime.keyring import KeyRing
from runtime.web import Listening

API_KEY = "test-user-key"
SERVED_MODEL = "rlm-test"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


@dataclass(frozen=True)
class Service:
    url: str
    http: aiohttp.ClientSession  # with the key
    engine: Engine
    storage: Storage
    stopping: asyncio.Event

    def openai(self, *, api_key: str = API_KEY, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=api_key, **options)

    async def metric(self, name: str, **labels: str) -> float:
        """A sample of /metrics; 0 where it is not there yet."""
        async with self.http.get(f"{self.url}/metrics") as response:
            text = await response.text()
        wanted = name + ("{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else "")
        lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
        return next((float(value) for sample, value in lines if sample == wanted), 0.0)


def build_lonely_settings(**changes: Any) -> InferenceSettings:
    """Of a service without model and sandbox, for requests that never get that far."""
    lonely = InferenceSettings(
        port=0,
        model_name="root-model",
        model_base_url=f"{NOBODY}/v1",
        served_model_name=SERVED_MODEL,
        wasm_service_url=NOBODY,
    )
    return lonely.model_copy(update=changes)


@contextlib.asynccontextmanager
async def run_service(
    settings: InferenceSettings, keys_dir: Path | None, pace: Pace = DEFAULT_PACE
) -> AsyncIterator[Service]:
    """Serve until the block ends."""
    listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    async with (
        open_storage(settings.storage_url, settings.storage_config_dir, settings.storage_retention_seconds) as storage,
        open_engine(settings, Metrics()) as engine,
    ):
        keys = KeyRing(keys_dir) if keys_dir else None
        server = build_server(settings, engine, storage, keys, on_listening=listening.set_result, pace=pace)
        serving = asyncio.create_task(server.serve())
        try:
            async with asyncio.timeout(20):
                url = f"http://127.0.0.1:{(await listening).api_port}"
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {API_KEY}"}) as http:
                yield Service(url, http, engine, storage, server.stopping)
        finally:
            server.stopping.set()
            await serving


def write_keys(folder: Path, **keys: str) -> Path:
    """A key folder as a Secret is mounted."""
    folder.mkdir(exist_ok=True)
    for name, key in keys.items():
        (folder / name).write_text(key + "\n")
    return folder
