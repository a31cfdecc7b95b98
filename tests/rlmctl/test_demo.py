"""`rlmctl demo` from start to stop, and its answer beside a direct count over the same files."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

from rlmctl.demo import standard_library
from tests.rlmctl.dev_process import clean_environment, run_rlmctl


def count_classes() -> dict[str, int]:
    library, counts = standard_library(), {}
    for file in library.rglob("*.py"):
        name = file.relative_to(library)
        if not {"site-packages", "dist-packages", "test", "tests", "__pycache__"} & set(name.parts):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # old escapes
                tree = ast.parse(file.read_text(encoding="utf-8"))
            counts[name.as_posix()] = sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree))
    return counts


def test_demo_answers_what_a_direct_count_says_and_stops(tmp_path: Path) -> None:
    shown = run_rlmctl("demo", environment=clean_environment(tmp_path) | {"COLUMNS": "200"})
    assert shown.returncode == 0, shown.stderr
    counts = count_classes()
    most = max(counts, key=lambda path: counts[path])
    assert (
        f"{sum(counts.values())} classes are defined. Most of them in one file: {most} ({max(counts.values())})."
        in (shown.stdout)
    )
    assert "answer by scripted-demo, a scripted stand-in without intelligence" in shown.stdout
    assert "llm_query_batched" in shown.stdout
    assert "==> stopping all processes" in shown.stderr
