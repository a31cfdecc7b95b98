"""How long a run takes to go on after the sandbox server of its session was killed by SIGKILL, another one being there.

    python -m benchmarks.replay

Prints a table for docs/reliability.md. Two sandbox servers, the service, the tests' scripted model. The clock runs from
the kill to the end of the run, whose last turn is one cell; whether a call was paid twice is asked of the model's log.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from runtime.inference.events import RunCompleted
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.asking import repl, run
from tests.runtime.inference.sandbox_pair import SandboxPair, run_pair
from tests.runtime.inference.scripted_model import Gate, Reply, ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, run_service, write_keys

TIMES: Final = 10
LARGE: Final = 40_000_000
LAST_TURN: Final = repl("FINAL((len(context), sorted(found)))")
ASK: Final = "found = llm_query_batched([f'{len(context)} {i}' for i in range(20)])"


@dataclass(frozen=True)
class Fault:
    """`cells` of earlier turns run again. `in_batch`: the kill meets the cell while its calls wait."""

    name: str
    characters: int = 0
    cells: int = 1
    in_batch: bool = False


FAULTS: Final = (
    Fault("between two cells, one cell before"),
    Fault("between two cells, 20 cells before", cells=20),
    Fault("between two cells, context of 40 MB", LARGE),
    Fault("in a batch of 20 calls", in_batch=True),
)


@dataclass
class Taken:
    seconds: list[float] = field(default_factory=list)
    diverged: int = 0
    paid_twice: int = 0


async def kill_once(pair: SandboxPair, folder: Path, fault: Fault, taken: Taken) -> None:
    pair.heal()
    model = await ScriptedModel().start()
    settings = InferenceSettings(
        port=0,
        model_name="root-model",
        model_base_url=model.base_url,
        served_model_name=SERVED_MODEL,
        reuse_answers=False,
        wasm_service_url=pair.urls,
        wasm_api_key_file=pair.key_file,
    )
    opened = asyncio.Event()
    last: Reply = LAST_TURN if fault.in_batch else Gate(opened, LAST_TURN)
    if fault.in_batch:
        model.sub_rule = lambda prompt: Gate(opened, f"re: {prompt}")
    model.enqueue(repl(ASK), *[repl(f"v{number} = {number}") for number in range(1, fault.cells)], last)
    async with run_service(settings, write_keys(folder / "keys", tester=API_KEY)) as service:
        asking = asyncio.create_task(run(service, context="c" * fault.characters))
        turns = 1 if fault.in_batch else fault.cells + 1
        await model.until(lambda scripted: len(scripted.root_calls) == turns and len(scripted.sub_calls) == 20)
        await pair.kill()
        killed = time.perf_counter()
        opened.set()
        done = (await asking)[-1]
        taken.seconds.append(time.perf_counter() - killed)
    assert isinstance(done, RunCompleted), done
    assert done.recoveries == 1
    taken.diverged += done.diverged
    taken.paid_twice += len(model.sub_calls) - len({call.prompt for call in model.sub_calls})
    await model.stop()


async def measure(folder: Path) -> None:
    print(
        "| SIGKILL of the session's server | to the end of the run: median, longest | diverged | calls paid twice | n |"
    )
    print("| --- | --- | --- | --- | --- |")
    with run_pair(folder) as pair:
        for fault in FAULTS:
            taken = Taken()
            for _ in range(TIMES):
                await kill_once(pair, folder, fault, taken)
            times = f"{median(taken.seconds):.2f} s, {max(taken.seconds):.2f} s"
            print(f"| {fault.name} | {times} | {taken.diverged} | {taken.paid_twice} | {TIMES} |", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
