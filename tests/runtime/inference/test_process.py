"""`python -m runtime.inference` as a process: settings, keys, ports, the orderly end."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from runtime.inference.settings import InferenceSettings
from runtime.settings import variable_name
from tests.runtime.inference.inference_process import DEADLINE, MINIMAL, finish, running, start
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.scripted_model import Gate, ScriptedModel
from tests.runtime.inference.service import API_KEY, write_keys


async def test_help_lists_every_variable() -> None:
    status, out, _ = await finish(await start({}, "--help"))
    assert status == 0
    for field in InferenceSettings.model_fields:
        assert variable_name(InferenceSettings, field) in out


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({"RLM_MODEL_NAME": ""}, "RLM_MODEL_NAME"),
        ({"RLM_MODEL_BASE_URL": "host/v1"}, "RLM_MODEL_BASE_URL"),
        ({"RLM_MAX_ITERATIONS": "0"}, "RLM_MAX_ITERATIONS"),
        ({"RLM_TIMEOUT_SECONDS": "soon"}, "RLM_TIMEOUT_SECONDS"),
        ({"WASM_SERVICE_URL": "sandbox:8000"}, "WASM_SERVICE_URL"),
        ({}, "RLM_API_KEYS_DIR"),
        ({"RLM_API_KEYS_DIR": "/nonexistent"}, "RLM_API_KEYS_DIR"),
        ({"RLM_AUTH_MODE": "Disabled", "RLM_TLS_DIR": "/nonexistent"}, "RLM_TLS_DIR"),
        ({"RLM_AUTH_MODE": "Disabled", "WASM_TLS_DIR": "/nonexistent"}, "WASM_TLS_DIR"),
        (
            {"RLM_AUTH_MODE": "Disabled", "WASM_TLS_DIR": "/nonexistent", "WASM_SERVICE_URL": "https://sandbox:8000"},
            "WASM_TLS_DIR",
        ),
    ],
)
async def test_wrong_or_missing_setting_ends_with_status_2_and_one_line_that_names_it(
    environment: dict[str, str], variable: str
) -> None:
    status, out, err = await finish(await start({**MINIMAL, **environment}))
    assert (status, out) == (2, "")
    assert err.startswith(f"runtime.inference: {variable}: ")
    assert err.count("\n") == 1


async def test_port_that_is_taken_ends_with_status_1() -> None:
    async with running({"RLM_AUTH_MODE": "Disabled"}) as (_, ports):
        environment = {"RLM_AUTH_MODE": "Disabled", "RLM_PORT": str(ports["api"])}
        status, _, err = await finish(await start({**MINIMAL, **environment}))
    assert status == 1
    assert "cannot listen" in err


async def test_disabled_authentication_needs_no_key() -> None:
    async with running({"RLM_AUTH_MODE": "Disabled"}) as (_, ports), aiohttp.ClientSession() as http:
        assert await _status(http, f"http://127.0.0.1:{ports['api']}/v1/models") == 200


async def test_metrics_port_of_its_own_serves_operations_only(tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", tester=API_KEY)
    environment = {"RLM_API_KEYS_DIR": str(keys), "RLM_METRICS_PORT": "0"}
    async with running(environment) as (_, ports), aiohttp.ClientSession() as http:
        assert ports["api"] != ports["metrics"]
        for port, path, status in [
            ("metrics", "/metrics", 200),
            ("metrics", "/v1/models", 404),
            ("api", "/metrics", 404),
            ("api", "/v1/models", 401),
        ]:
            async with http.get(f"http://127.0.0.1:{ports[port]}{path}") as response:
                assert response.status == status, (port, path)


async def test_sigterm_lets_a_run_finish_refuses_new_ones_and_ends_with_status_0(
    sandbox: SandboxProcess, model: ScriptedModel, tmp_path: Path
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "```repl\nFINAL(len(context))\n```"))
    environment = {
        "RLM_API_KEYS_DIR": str(write_keys(tmp_path / "keys", tester=API_KEY)),
        "RLM_MODEL_BASE_URL": model.base_url,
        "WASM_SERVICE_URL": sandbox.url,
        "WASM_API_KEY_FILE": str(sandbox.key_file),
    }
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with running(environment) as (process, ports), aiohttp.ClientSession(headers=headers) as http:
        url = f"http://127.0.0.1:{ports['api']}"
        asked = asyncio.create_task(http.post(f"{url}/rlm/v1/runs", json={"query": "q", "context": "abc"}))
        await model.until(lambda scripted: len(scripted.root_calls) == 1)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            while await _status(http, f"{url}/readyz") != 503:
                pass
        async with http.post(f"{url}/rlm/v1/runs", json={"query": "q"}) as refused:
            assert refused.status == 503
            assert (await refused.json())["error"]["code"] == "draining"
            assert refused.headers["Retry-After"]
        gate.set()
        async with await asked as response:
            assert (await response.json())["answer"] == "3"
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() == 0


async def _status(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as response:
        return response.status
