"""The inference service beside other ways to run recursive language models, in one run: a table, and JSON.

    make bench-inference                       installs the peers and runs this
    python -m benchmarks.inference --quick --only ours

Each system is measured by the same code (`runs.py`) in a process of its own, one after the other, over one scripted
model that answers at once, reached over HTTP through the openai SDK. Ours is asked over HTTP; libraries are called in
the process that uses them. What is not installed is left out and says how it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import describe_machine
from benchmarks.run_plan import QUICK, WHOLE, RunPlan
from benchmarks.runs import OURS, ROWS, SYSTEMS
from benchmarks.server import running_model
from benchmarks.table import print_rows

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = ROOT / ".peers"  # where `make bench-inference` installs them
RESULTS: Final = Path(__file__).parent / "results" / "inference.json"


def measure_system(name: str, plan: RunPlan, peers: Path, model_url: str) -> dict[str, Any]:
    """Its figures, or {"name", "missing"}: why it could not be measured."""
    folder = peers / "recursive" / "bin"
    python = str(folder / "python") if name != OURS and (folder / "python").exists() else sys.executable
    env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        file = Path(scratch) / "figures.json"
        command = [python, "-m", "benchmarks.runs", name, plan.dump(), str(file), model_url]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return found
    sys.stderr.write(done.stderr)
    reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    is_absent = reason.startswith(("ImportError", "ModuleNotFoundError"))
    return {"name": name, "missing": f"{reason}; `make bench-inference` installs the peers" if is_absent else reason}


def run(names: list[str], plan: RunPlan, peers: Path) -> dict[str, Any]:
    machine = describe_machine()
    print("; ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    systems: list[dict[str, Any]] = []
    missing: list[dict[str, Any]] = []
    with running_model() as model:
        for name in names:
            print(f"measuring {name} ...", flush=True)
            found = measure_system(name, plan, peers, model.url)
            (missing if "missing" in found else systems).append(found)
    print()
    for system in systems:
        about = system["about"]
        print(f"{system['name']}: {about['version']}; by {about['reached']}")
        if about["lacks"]:
            print(f"  lacks: {', '.join(about['lacks'])}")
    for system in missing:
        print(f"{system['name']}: not measured: {system['missing']}")
    print("\nmilliseconds where nothing else is said: median (minimum)\n")
    print_rows(ROWS, systems)
    return {"machine": machine, "load_after": os.getloadavg()[0], "systems": systems, "missing": missing}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inference", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few samples: whether it runs, not how fast")
    parser.add_argument("--only", default=",".join(SYSTEMS), help=f"comma-separated, of {', '.join(SYSTEMS)}")
    parser.add_argument("--peers", type=Path, default=PEERS, help="where they are installed (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON (default: %(default)s)")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - set(SYSTEMS):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(SYSTEMS)}")
    results = run(names, QUICK if arguments.quick else WHOLE, arguments.peers)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {arguments.out}")
    if any(system["name"] == OURS for system in results["missing"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
