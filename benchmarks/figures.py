"""What is measured, by name, and how a figure is said: the rows of the table and the keys of the JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import Final

Figure = dict[str, float] | float | bool
"""Of many samples {"median", "min", "n"}, else one number, or whether something holds."""

ROWS: Final[dict[str, str]] = {
    "first_cell_ms": "new session + first cell",
    "first_cell_no_spares_ms": "  the same without spares",
    "first_packages_cell_ms": "new session + cell with numpy, pandas",
    "first_packages_cell_no_spares_ms": "  the same without spares",
    "warm_cell_ms": "warm cell, back to back",
    "warm_cell_paced_ms": "warm cell, every 30 ms",
    "warm_cell_checkpoint_each_ms": "  the same, policy `cell`",
    "host_call_ms": "host call, answer to next question",
    "put_1mb_ms": "1 MB variable in",
    "get_1mb_ms": "1 MB variable out",
    "put_40mb_ms": "40 MB variable in",
    "get_40mb_ms": "40 MB variable out",
    "after_kill_ms": "end of an endless loop to next good cell",
    "state_after_kill": "  with its state intact",
    "memory_private_mb": "private MB per session",
    "memory_proportional_mb": "proportional MB per session",
    "live_sessions": "live sessions at once",
    "live_created_per_second": "  made per second, first cell included",
    "live_proportional_mb": "  proportional MB of each",
    "live_cells_per_second": "  cells/s, one cell in each",
    "live_warm_cell_ms": "  warm cell then",
    "context_burst_ratio": "burst cell with 40 MB / without",
    "context_paced_ratio": "paced cell with 40 MB / without",
    "speed_plain": "time of plain programs / native",
    "speed_packages": "time of numpy, pandas programs / native",
}


def rate_key(clients: int, policy: str | None = None) -> str:
    return f"cells_per_second_{clients}" + ("" if policy is None else f"_{policy}")


def row_titles(figures: Iterable[str]) -> dict[str, str]:
    """ROWS with the rates that were measured, behind what concerns one client."""
    rates = {
        key: f"cells/s, {parts[3]} clients" + (f", policy `{parts[4]}`" if len(parts) > 4 else "")
        for key in dict.fromkeys(figures)
        if key.startswith("cells_per_second_") and (parts := key.split("_"))
    }
    titles: dict[str, str] = {}
    for key, title in ROWS.items():
        if key == "live_sessions":
            titles |= rates
        titles[key] = title
    return titles


@dataclass(frozen=True)
class Times:
    """Milliseconds."""

    samples: list[float]

    def figure(self) -> dict[str, float]:
        return {"median": median(self.samples), "min": min(self.samples), "n": len(self.samples)}


def geometric_mean(ratios: Iterable[float]) -> float:
    logs = [log(ratio) for ratio in ratios]
    return exp(sum(logs) / len(logs))


def say(figure: Figure | None) -> str:
    match figure:
        case None:
            return "-"
        case bool():
            return "yes" if figure else "no"
        case dict():
            return f"{_number(figure['median'])} ({_number(figure['min'])})"
        case _:
            return _number(figure)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
