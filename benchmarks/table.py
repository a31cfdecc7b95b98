"""Prints what was measured: a column for each system, a row for each figure, then the programs one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.figures import geometric_mean, row_titles, say
from benchmarks.programs import PACKAGES, PLAIN

TITLE_WIDTH: Final = 42
COLUMN_WIDTH: Final = 17

System = Mapping[str, Any]


def print_figures(systems: Sequence[System]) -> None:
    print_rows(row_titles(key for system in systems for key in system["figures"]), systems)


def print_rows(titles: Mapping[str, str], systems: Sequence[System]) -> None:
    """Of many samples the median and, in brackets, the minimum."""
    _print_row("", [system["name"] for system in systems])
    for key, title in titles.items():
        figures = [system["figures"].get(key) for system in systems]
        if any(figure is not None for figure in figures):
            _print_row(title, [say(figure) for figure in figures])


def print_programs(systems: Sequence[System], native: Mapping[str, Any]) -> None:
    """Times as multiples of the native one."""
    _print_row("programs (native ms; others x native)", [system["name"] for system in systems])
    for name in (*PLAIN, *PACKAGES):
        if name not in native:
            continue
        cells = [_multiple(system["programs"].get(name), native[name]) for system in systems]
        _print_row(f"{name} ({native[name].get('ms', 0):.1f} ms)", cells)


def print_abouts(systems: Sequence[System]) -> None:
    for system in systems:
        about = system["about"]
        print(f"{system['name']}: {about['version']}, Python {about['python']}; by {about['reached']}")
        print(f"  isolation: {about['isolation']}")
        if about["lacks"]:
            print(f"  lacks: {', '.join(about['lacks'])}")


def speed_figures(programs: Mapping[str, Any], native: Mapping[str, Any]) -> dict[str, float]:
    """Geometric means over the programs that both ran with the same result."""
    found = {}
    for key, names in (("speed_plain", PLAIN), ("speed_packages", PACKAGES)):
        ratios = [ratio for name in names if (ratio := ratio_to(programs.get(name), native.get(name))) is not None]
        if ratios:
            found[key] = geometric_mean(ratios)
            found[f"{key}_programs"] = len(ratios)
    return found


def ratio_to(program: Any, native: Any) -> float | None:
    if not program or not native or "ms" not in program or program["printed"] != native.get("printed"):
        return None
    return float(program["ms"] / native["ms"])


def _multiple(program: Any, native: Any) -> str:
    ratio = ratio_to(program, native)
    if ratio is not None:
        return f"x {ratio:.2f}"
    if not program:
        return "-"
    return "cannot" if "error" in program else "other result"


def _print_row(title: str, cells: Sequence[str]) -> None:
    print(f"{title:{TITLE_WIDTH}}" + "".join(f"{cell:>{COLUMN_WIDTH}}" for cell in cells))
