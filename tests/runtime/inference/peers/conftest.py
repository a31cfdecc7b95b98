"""One trio of replicas for all tests; each test has a key of its own, so that it meets nothing of the others."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.ports import free_port
from tests.runtime.inference.peers.replicas import Replica, run_replicas
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.service import SERVED_MODEL, write_keys

Environment = Callable[..., dict[str, str]]


@dataclass(frozen=True)
class Caller:
    """Somebody with a key, who may ask any of the replicas."""

    name: str
    key: str
    replicas: list[Replica]

    def at(self, replica: int, **options: Any) -> openai.AsyncOpenAI:
        options = {"max_retries": 0, **options}
        return openai.AsyncOpenAI(base_url=f"{self.replicas[replica].url}/v1", api_key=self.key, **options)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture(scope="session")
def model_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all replicas; one for the start, the tests add their own."""
    return write_keys(tmp_path_factory.mktemp("keys") / "keys", first="first-key")


@pytest.fixture(scope="session")
def environment(sandbox: SandboxProcess, keys: Path, model_port: int) -> dict[str, str]:
    return {
        "RLM_MODEL_NAME": "root-model",
        "RLM_MODEL_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
        "RLM_SERVED_MODEL_NAME": SERVED_MODEL,
        "RLM_API_KEYS_DIR": str(keys),
        "RLM_ADMIN_KEYS": "admin",
        "WASM_SERVICE_URL": sandbox.url,
        "WASM_API_KEY_FILE": str(sandbox.key_file),
    }


@pytest.fixture(scope="session")
def replicas(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    with run_replicas(tmp_path_factory.mktemp("replicas"), environment) as running:
        yield running


@pytest.fixture
async def model(model_port: int) -> AsyncIterator[ScriptedModel]:
    scripted = await ScriptedModel().start(model_port)
    yield scripted
    await scripted.stop()


@pytest.fixture
def caller(replicas: list[Replica], keys: Path) -> Caller:
    return new_caller(replicas, keys)


def new_caller(replicas: list[Replica], keys: Path, name: str | None = None) -> Caller:
    name = name or f"caller-{secrets.token_hex(4)}"
    key = secrets.token_hex(16)
    write_keys(keys, **{name: key})
    return Caller(name, key, replicas)
