"""The sandbox service beside its peers, in one run on one machine: a table, and JSON in benchmarks/results/.

    make bench                             installs the peers and runs this
    python -m benchmarks.sandbox --quick --only ours,python

Each system is measured by the same code (`measure.py`) in a process of its own, one after the other, by the fastest way
that its documentation shows. Ours is reached over HTTP; libraries are called in the process that uses them. What is
not installed is left out and says how it is installed.
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
from benchmarks.plan import QUICK, WHOLE, Plan
from benchmarks.systems import NAMES, OURS
from benchmarks.table import print_abouts, print_figures, print_programs, speed_figures

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = ROOT / ".peers"  # where `make bench` installs them
RESULTS: Final = Path(__file__).parent / "results" / "sandbox.json"


def measure_system(name: str, plan: Plan, peers: Path) -> dict[str, Any]:
    """Its figures, or {"name", "missing"}: why it could not be measured."""
    peers_python = peers / "venv" / "bin" / "python"
    python = str(peers_python) if name not in OURS and peers_python.exists() else sys.executable
    env = {**os.environ, "BENCH_NODE_MODULES": str(peers / "node" / "node_modules")}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "figures.json"
        command = [python, "-m", "benchmarks.measure", name, plan.dump(), str(file)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return found
    sys.stderr.write(done.stderr)
    reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    is_absent = reason.startswith(("ImportError", "ModuleNotFoundError"))
    return {"name": name, "missing": f"{reason}; `make bench` installs the peers" if is_absent else reason}


def run(names: list[str], plan: Plan, peers: Path) -> dict[str, Any]:
    machine = describe_machine()
    print("; ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    systems: list[dict[str, Any]] = []
    missing: list[dict[str, Any]] = []
    for name in names:
        print(f"measuring {name} ...", flush=True)
        found = measure_system(name, plan, peers)
        (missing if "missing" in found else systems).append(found)
    native: dict[str, Any] = next((system["programs"] for system in systems if system["name"] == "python3 -I"), {})
    for system in systems:
        system["figures"] |= speed_figures(system["programs"], native)
    print()
    print_abouts(systems)
    for system in missing:
        print(f"{system['name']}: not measured: {system['missing']}")
    print("\nmilliseconds: median (minimum)\n")
    print_figures(systems)
    print()
    print_programs(systems, native)
    return {"machine": machine, "load_after": os.getloadavg()[0], "systems": systems, "missing": missing}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sandbox", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few samples: whether it runs, not how fast")
    parser.add_argument("--only", default=",".join(NAMES), help=f"comma-separated, of {', '.join(NAMES)}")
    parser.add_argument("--peers", type=Path, default=PEERS, help="where they are installed (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON (default: %(default)s)")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - set(NAMES):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    results = run(names, QUICK if arguments.quick else WHOLE, arguments.peers)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {arguments.out}")
    if any(name in OURS for name in (system["name"] for system in results["missing"])):
        sys.exit(1)


if __name__ == "__main__":
    main()
