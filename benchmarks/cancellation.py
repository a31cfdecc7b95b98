"""How soon nothing is left of a run that was ended: by a dropped stream, by request, by its deadline, by a dropped
plain request that nobody repeats.

    python -m benchmarks.cancellation

Prints a table for docs/reliability.md. The service, a sandbox of its own and the tests' scripted model, which sees its
connections closed; the sandbox's sessions are looked at every 20 ms. Runs and ways are those of the tests.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.cancellation import DEADLINE, ENDS, WORKS, Work, begin, wait_for_deadline
from tests.runtime.inference.metrics_page import until_ended
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys

TIMES: Final = 10
PLAIN: Final = "a dropped plain request"
PLAIN_TIMES: Final = 3


class Bench:
    def __init__(self, service: Service, sandbox: SandboxProcess, model: ScriptedModel) -> None:
        self.service, self.sandbox, self.model = service, sandbox, model

    async def ended_stream(self, end: str, work: Work) -> tuple[float, float]:
        """Seconds until the model's requests are closed, and until the sandbox has no session any more."""
        work.script(self.model)
        began = time.perf_counter()
        stream, run_id = await begin(self.service, ENDS[end])
        await work.reached(self.service, self.sandbox, self.model)
        if ENDS[end] is wait_for_deadline:
            waiting = asyncio.create_task(ENDS[end](self.service, stream, run_id))
            taken = await self._until_gone(began + DEADLINE)
            await waiting
        else:
            ended = time.perf_counter()
            asked = asyncio.create_task(ENDS[end](self.service, stream, run_id))
            taken = await self._until_gone(ended)
            await asked
        stream.drop()
        return taken

    async def dropped_plain_request(self, work: Work) -> tuple[float, float]:
        work.script(self.model)
        body = {"query": "How many?"}
        asking = asyncio.create_task(self.service.http.post(f"{self.service.url}/rlm/v1/runs", json=body))
        await work.reached(self.service, self.sandbox, self.model)
        ended = time.perf_counter()
        asking.cancel()
        await asyncio.wait([asking])
        return await self._until_gone(ended)

    async def _until_gone(self, since: float) -> tuple[float, float]:
        await self.model.until(lambda scripted: scripted.hanging == 0)
        closed = time.perf_counter() - since
        await until_ended(self.service, self.sandbox)
        return closed, time.perf_counter() - since


def print_row(end: str, name: str, taken: list[tuple[float, float]], calls: int) -> None:
    """A cell has no model call in flight."""
    closed, gone = [each[0] for each in taken], [each[1] for each in taken]
    model = f"{median(closed):.2f} s, {max(closed):.2f} s" if calls else "none under way"
    print(f"| {end} | {name} | {model} | {median(gone):.2f} s, {max(gone):.2f} s | {len(taken)} |", flush=True)


async def measure(sandbox: SandboxProcess, folder: Path) -> None:
    model = await ScriptedModel().start()
    settings = InferenceSettings(
        port=0,
        model_name="root-model",
        model_base_url=model.base_url,
        served_model_name=SERVED_MODEL,
        max_concurrency=4,
        wasm_service_url=sandbox.url,
        wasm_api_key_file=sandbox.key_file,
    )
    async with run_service(settings, write_keys(folder / "keys", tester=API_KEY)) as service:
        bench = Bench(service, sandbox, model)
        for end in ENDS:
            for name, work in WORKS.items():
                print_row(end, name, [await bench.ended_stream(end, work) for _ in range(TIMES)], work.hanging)
        for name, work in WORKS.items():
            print_row(PLAIN, name, [await bench.dropped_plain_request(work) for _ in range(PLAIN_TIMES)], work.hanging)
    await model.stop()


def main() -> None:
    print("| the run is ended by | while it is at | model's requests closed: median, longest | sessions ended | n |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, run_sandbox(Path(folder)) as sandbox:
        asyncio.run(measure(sandbox, Path(folder)))


if __name__ == "__main__":
    main()
