"""Measures one way to run recursive language models: `python -m benchmarks.runs SYSTEM PLAN FILE MODEL_URL`.

Started by `benchmarks.inference` for each system, in the interpreter that has it; the same code drives all of them,
over the same scripted model in a process of its own. Milliseconds unless a figure says otherwise.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import openai

from benchmarks.figures import Figure, Times
from benchmarks.model_control import MODEL, ModelControl
from benchmarks.peers.runner import Runner
from benchmarks.run_plan import RunPlan

OURS: Final = "ours"
SYSTEMS: Final = {
    OURS: ("benchmarks.stack", "Ours"),
    "rlms": ("benchmarks.peers.rlms", "RlmsLocal"),
    "rlms-docker": ("benchmarks.peers.rlms", "RlmsDocker"),
    "dspy": ("benchmarks.peers.dspy_deno", "DspyDeno"),
}
ROWS: Final = {
    "run_ms": "a run of two turns",
    "iteration_ms": "each further turn with a cell",
    "model_call_ms": "  of it a call by the openai SDK alone",
    "overhead_ms": "  overhead",
    "cpu_per_iteration_ms": "  CPU of the inference process",
    "cpu_per_iteration_sandbox_ms": "  CPU of the sandbox's processes",
    "batch_s": "1,000 sub-calls of 50 ms, s",
    "batch_ratio": "  ratio to ideal for its cap",
    "bare_batch_s": "  the same by a bare loop around aiohttp, s",
    "prompt_s": "40 MB prompt, two turns, s",
    "iteration_large_ms": "each further turn with 40 MB",
    "open_ms": "a REPL, opened",
    "open_large_ms": "a REPL with 40 MB, opened",
    "cell_ms": "a cell, without a model",
    "cell_large_ms": "a cell beside 40 MB",
    "upload_s": "40 MB file uploaded, s",
    "file_question_s": "first question over it, s",
    "file_again_s": "second question over it, s",
    "file_more_s": "  more than over nothing, s",
    "many_runs_per_second": "runs/s, 200 at once",
    "many_p50_s": "  p50, s",
    "many_p99_s": "  p99, s",
    "many_rss_mb": "  largest RSS of the inference process, MB",
    "many_idle_rss_mb": "  its RSS before, MB",
    "many_sandbox_mb": "  proportional MB of the sandbox then",
}
QUESTION: Final = "What is there?"
CELL: Final = "Next.\n```repl\nx = 40 + 2\nprint(x)\n```"
COUNT: Final = "Look.\n```repl\nprint(context.count('needle'))\n```"
BATCH: Final = (
    "Ask.\n```repl\nreplies = llm_query_batched([f'p{{n}}' for n in range({batch})])\nprint(len(set(replies)))\n```"
)
DONE: Final = "```repl\nanswer['content'] = 'done'\nanswer['ready'] = True\n```"
PLAIN_CELL: Final = "x = 40 + 2\nprint(x)"
LINE: Final = "x" * 99 + "\n"


def timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1e3


def sample(plan: RunPlan, count: int, action: Callable[[], float]) -> Times:
    """Up to `count` of them, as many as fit the plan's time."""
    end = time.perf_counter() + plan.seconds
    samples: list[float] = []
    while len(samples) < count and (not samples or time.perf_counter() < end):
        samples.append(action())
    return Times(samples)


def large_text(plan: RunPlan) -> str:
    return LINE * (plan.megabytes * 1_000_000 // len(LINE))


def measure(runner: Runner, plan: RunPlan, model: ModelControl) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    if runner.batch_cap is not None:
        figures |= whole_runs(runner, plan, model)
        figures |= batch(runner, plan, model, runner.batch_cap)
    return {**figures, **cells(runner, plan)}


def whole_runs(runner: Runner, plan: RunPlan, model: ModelControl) -> dict[str, Figure]:
    def run(turns: list[str], context: str = "") -> float:
        model.follow(turns=turns)
        return timed(lambda: _ask(runner, context))

    run([CELL, DONE])
    short = sample(plan, plan.repeats, lambda: run([CELL, DONE])).figure()
    long = sample(plan, plan.repeats, lambda: run([CELL] * (plan.iterations - 1) + [DONE])).figure()
    text = large_text(plan)
    prompt = sample(plan, plan.repeats, lambda: run([COUNT, DONE], text)).figure()
    large = sample(plan, plan.repeats, lambda: run([COUNT] + [CELL] * plan.large_cells + [DONE], text)).figure()
    call = model_call(plan, model)
    iteration = _each(long, short, plan.iterations - 2)
    return {
        "run_ms": short,
        "iteration_ms": iteration,
        "model_call_ms": call,
        "overhead_ms": iteration["median"] - call["median"],
        "prompt_s": _in_seconds(prompt),
        "iteration_large_ms": _each(large, prompt, plan.large_cells),
    }


def batch(runner: Runner, plan: RunPlan, model: ModelControl, cap: int) -> dict[str, Figure]:
    """One cell that asks for all; the model takes its time for each."""

    def run(turns: list[str]) -> float:
        model.follow(turns=turns, sub_latency=plan.batch_latency)
        return timed(lambda: _ask(runner, ""))

    with_batch = sample(plan, plan.repeats, lambda: run([BATCH.format(batch=plan.batch), DONE])).figure()
    without = sample(plan, plan.repeats, lambda: run([CELL, DONE])).figure()
    taken = {
        **with_batch,
        "median": with_batch["median"] - without["median"],
        "min": with_batch["min"] - without["min"],
    }
    ideal = plan.batch * plan.batch_latency / cap
    return {"batch_s": _in_seconds(taken), "batch_ratio": taken["median"] / 1e3 / ideal}


def model_call(plan: RunPlan, model: ModelControl) -> dict[str, float]:
    model.follow(turns=[CELL])
    messages: Any = [{"role": "system", "content": "x" * 5000}, {"role": "user", "content": QUESTION}]
    with openai.OpenAI(base_url=f"{model.url}/v1", api_key="none") as client:
        client.chat.completions.create(model=MODEL, messages=messages)
        return sample(
            plan, plan.cells, lambda: timed(lambda: client.chat.completions.create(model=MODEL, messages=messages))
        ).figure()


def cells(runner: Runner, plan: RunPlan) -> dict[str, Figure]:
    """Of REPLs without a model. A cell's state stays: each is followed by one that sees it."""
    figures: dict[str, Figure] = {}
    for suffix, context in (("", ""), ("_large", large_text(plan))):
        opened: list[float] = []
        for _ in range(min(plan.repeats, 3)):
            started = time.perf_counter()
            repl = runner.open_repl(context)
            opened.append((time.perf_counter() - started) * 1e3)
            if len(opened) < min(plan.repeats, 3):
                repl.close()
        assert repl.run("print(len(context))").strip() == str(len(context))
        count = plan.cells if not suffix else plan.large_cells
        figures[f"open{suffix}_ms"] = Times(opened).figure()
        figures[f"cell{suffix}_ms"] = sample(plan, count, lambda: timed(lambda: repl.run(PLAIN_CELL))).figure()  # noqa: B023  # called at once
        repl.close()
    return figures


def _ask(runner: Runner, context: str) -> None:
    answer = runner.ask(context)
    assert answer == "done", answer


def _each(long: dict[str, float], short: dict[str, float], turns: int) -> dict[str, float]:
    return {**long, **{key: (long[key] - short[key]) / turns for key in ("median", "min")}}


def _in_seconds(times: dict[str, float]) -> dict[str, float]:
    return {**times, "median": times["median"] / 1e3, "min": times["min"] / 1e3}


def main() -> None:
    name, plan, file, model_url = sys.argv[1], RunPlan.load(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    module, kind = SYSTEMS[name]
    runner: Runner = getattr(import_module(module), kind)(model_url)
    try:
        figures = measure(runner, plan, ModelControl(model_url))
        if name == OURS:
            figures |= import_module("benchmarks.own_runs").measure_own(runner, plan, ModelControl(model_url))
        found = {"name": runner.name, "about": asdict(runner.about()), "figures": figures}
    finally:
        runner.close()
    file.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
