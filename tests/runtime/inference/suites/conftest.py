"""The stack of the suites: the scripted stand-in as a process, the sandbox process of all inference tests, and a
service that has both, with prices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.inference.settings import InferenceSettings
from tests.runtime.demo_model.standin import run_standin
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.service import SERVED_MODEL
from tests.runtime.inference.suites.bill import PRICES, ROOT, SUB


@pytest.fixture(scope="package")
def standin() -> Iterator[str]:
    with run_standin() as url:
        yield url


@pytest.fixture
def settings(sandbox: SandboxProcess, standin: str) -> InferenceSettings:
    """For the `service` of all inference tests, in place of theirs over a test's own script."""
    return InferenceSettings(
        port=0,
        model_name=ROOT,
        model_base_url=standin,
        sub_model_name=SUB,
        served_model_name=SERVED_MODEL,
        prices=PRICES,
        max_cost=1.0,
        timeout_seconds=240,
        wasm_service_url=sandbox.url,
        wasm_api_key_file=sandbox.key_file,
    )
