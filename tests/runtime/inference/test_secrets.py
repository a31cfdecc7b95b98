"""Keys and passwords stay where they are kept: nothing that leaves the service has them, whatever a provider says."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest

from tests.runtime.inference.asking import repl
from tests.runtime.inference.inference_process import DEADLINE, MINIMAL, start
from tests.runtime.inference.sandbox_process import SANDBOX_KEY, SandboxProcess
from tests.runtime.inference.scripted_model import QUESTION, Failure, Raw, ScriptedModel
from tests.runtime.inference.service import API_KEY, write_keys
from tests.runtime.inference.trace_collector import TraceCollector
from tests.runtime.sandbox.eventually import eventually

MODEL_KEY = "my-own-kind-of-key-93"
PASSWORD = "pa55word-of-the-proxy"
TOKEN = "sk-proj-0123456789abcdef"
WORDS = f"Incorrect API key {MODEL_KEY}; use {TOKEN} at http://proxy:{PASSWORD}@10.0.0.7/v1"
SECRETS = (MODEL_KEY, PASSWORD, TOKEN, API_KEY, SANDBOX_KEY, "10.0.0.7")


async def test_a_provider_that_tells_keys_is_repeated_nowhere(
    sandbox: SandboxProcess, model: ScriptedModel, collector: TraceCollector, tmp_path: Path
) -> None:
    (tmp_path / "model-key").write_text(MODEL_KEY)
    environment = {
        **MINIMAL,
        "RLM_MODEL_BASE_URL": model.base_url.replace("http://", f"http://proxy:{PASSWORD}@"),
        "RLM_MODEL_API_KEY_FILE": str(tmp_path / "model-key"),
        "RLM_SUB_MODEL_NAME": "sub-model",
        "RLM_API_KEYS_DIR": str(write_keys(tmp_path / "keys", tester=API_KEY)),
        "RLM_OTLP_ENDPOINT": collector.endpoint,
        "RLM_TRACE_CONTENT": "true",
        "RLM_AUDIT_LOG": "true",
        "WASM_SERVICE_URL": sandbox.url,
        "WASM_API_KEY_FILE": str(sandbox.key_file),
        "LOG_LEVEL": "DEBUG",
    }
    failing = Failure(401, code=TOKEN, headers={"x-request-id": TOKEN}, message=WORDS)
    model.sub_rule = lambda _: failing
    seen = ""
    process = await start(environment)
    try:
        async with asyncio.timeout(DEADLINE):
            log, url = await _until_listening(process)
            async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {API_KEY}"}) as http:
                for replies in ([repl("print(llm_query('a'))"), failing], [Raw(WORDS)], [failing]):
                    model.replies.clear()
                    model.enqueue(*replies)
                    body = {"query": QUESTION, "stream": len(replies) > 1}
                    seen += await _fetch(http.post("/rlm/v1/runs", json=body))
                seen += (runs := await _fetch(http.get("/rlm/v1/runs")))
                for run in json.loads(runs.partition("\n")[2])["data"]:
                    seen += await _fetch(http.get(f"/rlm/v1/runs/{run['id']}/events"))
                seen += await _fetch(http.get("/metrics"))
            await eventually(lambda: len(collector.named("POST /rlm/v1/runs")) == 3)
            process.terminate()
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    logged = log + err.decode() + out.decode()
    assert "llm call failed" in logged
    assert '"event": "run_ended"' in logged
    assert "model_error" in seen
    assert "chat root-model" in {span.name for span in collector.spans}
    told = {"what was sent": seen, "logs": logged, "traces": collector.raw.decode("utf-8", "replace")}
    assert [(where, secret) for where, text in told.items() for secret in SECRETS if secret in text] == []


async def _until_listening(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """What was logged up to then, and the address."""
    assert process.stderr is not None
    log = ""
    while line := (await process.stderr.readline()).decode():
        log += line
        if (record := json.loads(line))["message"] == "listening":
            return log, f"http://127.0.0.1:{record['port']}"
    raise AssertionError(log)


async def _fetch(request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> str:
    """Headers in one line, then the body."""
    async with request as response:
        return f"{dict(response.headers)}\n{await response.text()}\n"


@pytest.mark.parametrize(
    ("variable", "scheme"),
    [
        ("RLM_MODEL_BASE_URL", "htp"),
        ("RLM_STORAGE_URL", "ftp"),
        ("RLM_OTLP_ENDPOINT", "grpc"),
        ("WASM_SERVICE_URL", "http"),
    ],
)
async def test_an_address_with_a_password_is_not_repeated_by_the_error_about_it(variable: str, scheme: str) -> None:
    process = await start({**MINIMAL, variable: f"{scheme}://me:{PASSWORD}@host/v1"})
    _, err = await process.communicate()
    assert variable.encode() in err
    assert PASSWORD.encode() not in err
