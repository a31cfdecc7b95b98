"""The inference plane's metrics: by the names that dashboards use, moved by what happens."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from runtime.inference.errors import BudgetReason
from runtime.inference.metrics import Metrics
from runtime.inference.settings import InferenceSettings
from tests.ports import free_port
from tests.runtime.inference.asking import answer, repl, run
from tests.runtime.inference.sandbox_process import SANDBOX_KEY, run_sandbox
from tests.runtime.inference.scripted_model import QUESTION, Gate, ScriptedModel
from tests.runtime.inference.service import API_KEY, Service, run_service, write_keys
from tests.runtime.sandbox.eventually import eventually

DOCUMENTATION: Final = Path(__file__).parents[3] / "docs/observability.md"
FIXED_BY_THE_MISSION: Final = {
    "rlm_inference_requests_total",
    "rlm_inference_duration_seconds",
    "rlm_code_generated_total",
    "rlm_code_execution_requests_total",
}


def exposed() -> set[tuple[str, str]]:
    families = [family for family in Metrics().registry.collect() if family.name.startswith("rlm_")]
    return {(family.name + "_total" * (family.type == "counter"), family.type) for family in families}


def test_the_documentation_lists_every_metric_with_its_type_and_no_other() -> None:
    rows = re.findall(r"^\| `(rlm_(?!operator_)\w+)` \| (\w+) \|", DOCUMENTATION.read_text(), re.MULTILINE)
    assert set(rows) == exposed()
    assert {name for name, _ in rows} >= FIXED_BY_THE_MISSION


def test_every_reason_of_a_budget_stop_begins_at_zero() -> None:
    registry = Metrics().registry
    for reason in BudgetReason:
        assert registry.get_sample_value("rlm_budget_stops_total", {"reason": reason.value}) == 0


async def test_a_run_with_a_child_and_a_repeated_sub_call_moves_depth_turns_and_reuse(
    service: Service, model: ScriptedModel
) -> None:
    code = "a, b = llm_query_batched(['same', 'same'])\nc = rlm_query('piece')\nFINAL(a + b + c)"
    model.enqueue(repl(code))
    model.child_rule = lambda _: "FINAL(part)"
    assert await answer(service) == "re: samere: samepart"
    assert await service.metric("rlm_subcalls_reused_total") == 1
    assert await service.metric("rlm_run_depth_bucket", le="0.0") == 0
    assert await service.metric("rlm_run_depth_bucket", le="1.0") == 1
    assert await service.metric("rlm_run_iterations_sum", role="root") == 1
    assert await service.metric("rlm_run_iterations_sum", role="child") == 1
    assert await service.metric("rlm_llm_calls_total", model="root-model", role="child", status="ok") == 1


async def test_calls_under_way_and_calls_that_wait_for_a_slot_are_gauges(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    opened = asyncio.Event()
    model.enqueue(repl("FINAL(str(len(llm_query_batched(['a', 'b', 'c']))))"))
    model.sub_rule = lambda prompt: Gate(opened, prompt)
    narrow = settings.model_copy(update={"max_concurrency": 2})
    async with run_service(narrow, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
        asking = asyncio.create_task(answer(service))
        await model.until(lambda seen: len(seen.sub_calls) == 1)  # a run has half of the slots
        assert await service.metric("rlm_llm_calls_in_flight") == 1
        assert await service.metric("rlm_sandbox_demand", state="live") == 1
        others = [asyncio.create_task(run(service)) for _ in range(2)]

        async def one_waits() -> bool:
            return await service.metric("rlm_llm_queue_length") == 1

        model.enqueue(Gate(opened, "FINAL(2)"), Gate(opened, "FINAL(3)"))
        await eventually(one_waits)
        opened.set()
        assert await asking == "3"
        await asyncio.gather(*others)
        assert await service.metric("rlm_llm_queue_length") == 0
        assert await service.metric("rlm_sandbox_demand", state="live") == 0


async def test_a_run_waits_for_a_pool_without_pods_and_is_demand_until_one_is_there(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(SANDBOX_KEY)
    port = free_port()
    asleep = settings.model_copy(
        update={
            "wasm_service_url": f"http://127.0.0.1:{port}",
            "wasm_api_key_file": tmp_path / "key",
            "sandbox_start_timeout_seconds": 120,
        }
    )
    model.enqueue("FINAL(awake)")
    async with run_service(asleep, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
        async with service.http.get(f"{service.url}/readyz") as ready:
            assert ready.status == 200  # or no request could wake the pool up
        asking = asyncio.create_task(answer(service))

        async def is_wanted() -> bool:
            return await service.metric("rlm_sandbox_demand", state="waiting") == 1

        await eventually(is_wanted)
        with run_sandbox(tmp_path, SANDBOX_PORT=str(port)):
            assert await asking == "awake"
        assert await service.metric("rlm_sandbox_demand", state="waiting") == 0


async def test_a_pool_that_stays_away_for_the_whole_wait_is_503(
    settings: InferenceSettings, tmp_path: Path, refusing_port: int
) -> None:
    gone = {"wasm_service_url": f"http://127.0.0.1:{refusing_port}", "sandbox_start_timeout_seconds": 1.5}
    async with (
        run_service(settings.model_copy(update=gone), write_keys(tmp_path / "keys", tester=API_KEY)) as service,
        service.http.post(f"{service.url}/rlm/v1/runs", json={"query": QUESTION}) as response,
    ):
        assert response.status == 503
        assert (await response.json())["error"]["code"] == "sandbox_unavailable"
        assert response.headers["Retry-After"]
        assert await service.metric("rlm_sandbox_demand", state="waiting") == 0
