"""`python -m benchmarks.inference --quick`: it runs, and its JSON has the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.runs import ROWS

ROOT = Path(__file__).parents[2]


def test_a_quick_run_has_every_figure_of_ours_and_says_how_to_get_what_is_not_installed(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.inference", "--quick", "--only", "ours,rlms"]
    done = subprocess.run(
        [*command, "--peers", str(tmp_path / "none"), "--out", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())
    (ours,) = results["systems"]
    assert ours["name"] == "ours"
    assert set(ours["figures"]) == set(ROWS)
    (missing,) = results["missing"]
    assert missing["name"] == "rlms"
    assert "make bench-inference" in missing["missing"]
    for said in ("each further turn with a cell", "a cell beside 40 MB", "load "):
        assert said in done.stdout
