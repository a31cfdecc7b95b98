"""`python -m benchmarks.sandbox --quick`: it runs, and its JSON has the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import ROWS, geometric_mean, row_titles, say
from benchmarks.plan import QUICK
from benchmarks.programs import PLAIN
from benchmarks.table import ratio_to

ROOT = Path(__file__).parents[2]
SCIENTIFIC_ONLY = {"first_packages_cell_ms", "first_packages_cell_no_spares_ms", "speed_packages"}


def test_a_quick_run_has_every_figure_of_ours_and_says_how_to_get_what_is_not_installed(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.sandbox", "--quick", "--only", "ours,python,pyeryx"]
    done = subprocess.run(
        [*command, "--peers", str(tmp_path / "none"), "--out", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())
    systems = {system["name"]: system for system in results["systems"]}
    assert set(systems) == {"ours", "python3 -I"}
    assert set(systems["ours"]["figures"]) >= set(ROWS) - SCIENTIFIC_ONLY
    assert systems["ours"]["figures"]["state_after_kill"]
    assert not systems["python3 -I"]["figures"]["state_after_kill"]
    assert systems["ours"]["figures"]["live_sessions"] == QUICK.live_sessions
    native = systems["python3 -I"]["programs"]
    assert all(ratio_to(systems["ours"]["programs"][name], native[name]) for name in PLAIN)
    (missing,) = results["missing"]
    assert missing["name"] == "pyeryx"
    assert "make bench" in missing["missing"]
    for said in ("warm cell, back to back", "prime sieve", "load ", "seccomp"):
        assert said in done.stdout


def test_a_name_that_no_system_has_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks.sandbox", "--only", "ours,pyerx"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "there is no pyerx" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (None, "-"),
        (True, "yes"),
        (1234.5, "1,234"),
        (0.01234, "0.0123"),
        ({"median": 12.345, "min": 2.0, "n": 3}, "12.3 (2)"),
    ],
)
def test_a_figure_is_said_in_few_digits(figure: float | bool | dict[str, float] | None, said: str) -> None:
    assert say(figure) == said


def test_rates_are_named_by_clients_and_policy() -> None:
    titles = row_titles(["cells_per_second_8", "cells_per_second_8_cell"])
    assert titles["cells_per_second_8"] == "cells/s, 8 clients"
    assert titles["cells_per_second_8_cell"] == "cells/s, 8 clients, policy `cell`"
    assert set(titles) > set(ROWS)


def test_a_program_that_prints_something_else_has_no_ratio() -> None:
    native = {"ms": 2.0, "printed": "7\n"}
    assert ratio_to({"ms": 5.0, "printed": "7\n"}, native) == 2.5
    assert ratio_to({"ms": 5.0, "printed": "8\n"}, native) is None
    assert ratio_to({"error": "no such module"}, native) is None
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
