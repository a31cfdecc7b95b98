"""Fixtures of the client tests: a sandbox process and a scripted model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.client.threaded_model import run_scripted_model
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox
from tests.runtime.inference.scripted_model import ScriptedModel


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture
def in_cluster(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    """The environment of a pod that may use the pool."""
    monkeypatch.setenv("WASM_SERVICE_URL", sandbox.url)
    monkeypatch.setenv("WASM_API_KEY_FILE", str(sandbox.key_file))
    return sandbox


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with run_scripted_model() as scripted:
        yield scripted
