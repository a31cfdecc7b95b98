"""A pool whose image cannot fork: a child that begins in a copy gets one all the same, by running the cells again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.inference.settings import InferenceSettings
from runtime.sandbox.guest_image import default_folder
from runtime.sandbox.pyodide.install import install
from runtime.sandbox.pyodide.installation import InstallationError, find_node
from tests.runtime.inference.asking import answer, repl
from tests.runtime.inference.sandbox_process import run_sandbox
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.service import API_KEY, Service, run_service, write_keys


@pytest.fixture
async def service(model: ScriptedModel, tmp_path: Path) -> AsyncIterator[Service]:
    try:
        find_node()
    except InstallationError as error:
        pytest.skip(str(error))
    install(default_folder())
    with run_sandbox(tmp_path, SANDBOX_IMAGE="pyodide", SANDBOX_SPARES="2", SANDBOX_CPU_SHARES="1024") as sandbox:
        settings = InferenceSettings(
            port=0,
            model_name="root-model",
            model_base_url=model.base_url,
            sub_model_name="sub-model",
            wasm_service_url=sandbox.url,
            wasm_api_key_file=sandbox.key_file,
            timeout_seconds=120,
        )
        async with run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY)) as running:
            yield running


async def test_a_child_in_a_copy_has_the_asking_runs_variables(service: Service, model: ScriptedModel) -> None:
    model.enqueue(repl("data = [1, 2]\ndata.append(llm_query('n'))"), repl("FINAL((rlm_query('p'), data))"))
    model.sub_rule = lambda _: "3"
    model.child_rule = lambda _: repl("data.append(4)\nFINAL((data, context, parent_context))")
    text = await answer(service, context="text", options={"fork_children": True})
    assert text == """("([1, 2, '3', 4], 'p', 'text')", [1, 2, '3'])"""
    assert len(model.sub_calls) == 1  # the cell that is run again gets the answer that it got before
