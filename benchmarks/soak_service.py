"""The inference service under the soak: what it counts, and what it holds at one moment."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.counted_inference import TASKS_FILE
from benchmarks.footprint import KIBIBYTE, STEADY_SECONDS, count_descriptors, read_status
from benchmarks.server import InferenceProcess

QUIET_SECONDS: Final = 120.0  # ended runs are kept for a minute, connections for a quarter of one
ACTIVE: Final = ("rlm_active_runs", "rlm_llm_calls_in_flight", "rlm_llm_queue_length")
_SAMPLE: Final = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Held:
    """Asyncio tasks, threads and descriptors by what they are; `active` is what is not zero of runs and calls."""

    tasks: int
    threads: int
    descriptors: dict[str, int]
    active: dict[str, float]
    rss_bytes: int

    @property
    def countables(self) -> Counter[str]:
        """What must not be more than before."""
        return Counter({"tasks": self.tasks, "descriptors": sum(self.descriptors.values()), **self.active})


class CountedInference(InferenceProcess):
    module = "benchmarks.counted_inference"

    def __init__(self, sandbox_url: str, model_url: str, tasks_file: Path, **settings: object) -> None:
        super().__init__(sandbox_url, model_url, **settings)
        self._tasks_file = tasks_file
        self._env[TASKS_FILE] = str(tasks_file)

    def hold(self) -> Held:
        samples = self._samples()
        return Held(
            tasks=self._count_tasks(),
            threads=int(read_status(self.pid, "Threads")),
            descriptors=count_descriptors(self.pid),
            active={name: value for name, _, value in samples if name in ACTIVE and value},
            rss_bytes=int(read_status(self.pid, "VmRSS").split()[0]) * KIBIBYTE,
        )

    def counts(self) -> Counter[str]:
        """Runs by status, model calls by status, tokens by kind."""
        found: Counter[str] = Counter()
        for name, labels, value in self._samples():
            match name:
                case "rlm_inference_requests_total":
                    found[f"runs {labels['status']}"] += int(value)
                case "rlm_llm_calls_total":
                    found[f"calls {labels['status']}"] += int(value)
                case "rlm_llm_tokens_total":
                    found[f"tokens {labels['kind']}"] += int(value)
        return found

    def _samples(self) -> list[tuple[str, dict[str, str], float]]:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as response:  # noqa: S310  # our own http address
            text = response.read().decode()
        return [
            (match["name"], dict(_LABEL.findall(match["labels"] or "")), float(match["value"]))
            for match in _SAMPLE.finditer(text)
        ]

    def _count_tasks(self) -> int:
        self._tasks_file.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        while not (self._tasks_file.exists() and (said := self._tasks_file.read_text(encoding="utf-8")).endswith("\n")):
            time.sleep(0.01)
        return int(said)


def settled(service: CountedInference, enough: Callable[[Held], bool], seconds: float = QUIET_SECONDS) -> Held:
    """The first that is at rest, `enough`, and stays the same for a moment, else the last within `seconds`."""
    end = time.monotonic() + seconds
    found, since = service.hold(), time.monotonic()
    while time.monotonic() < end:
        if not found.active and enough(found) and time.monotonic() - since > STEADY_SECONDS:
            return found
        time.sleep(0.2)
        latest = service.hold()
        if latest.countables != found.countables:
            since = time.monotonic()
        found = latest
    return found
