"""Fixtures of the inference tests: one sandbox process for all, a scripted model and a service for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime.inference.settings import InferenceSettings
from tests.ports import closed_port
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys
from tests.runtime.inference.trace_collector import TraceCollector


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    scripted = await ScriptedModel().start()
    yield scripted
    await scripted.stop()


@pytest.fixture
def settings(sandbox: SandboxProcess, model: ScriptedModel) -> InferenceSettings:
    """A test that needs others makes its own service from a copy."""
    return InferenceSettings(
        port=0,
        model_name="root-model",
        model_base_url=model.base_url,
        sub_model_name="sub-model",
        served_model_name=SERVED_MODEL,
        allowed_models="third-model",
        max_iterations=6,
        max_subcalls=50,
        max_concurrency=4,
        timeout_seconds=120,
        wasm_service_url=sandbox.url,
        wasm_api_key_file=sandbox.key_file,
    )


@pytest.fixture
async def service(settings: InferenceSettings, tmp_path: Path) -> AsyncIterator[Service]:
    async with run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY)) as running:
        yield running


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TraceCollector]:
    """Spans are sent to it at once, by services of the test and by its processes."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # milliseconds
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    receiver = await TraceCollector().start()
    yield receiver
    await receiver.stop()


@pytest.fixture
def refusing_port() -> Iterator[int]:
    with closed_port() as port:
        yield port
