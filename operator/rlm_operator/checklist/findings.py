"""What a check found wrong, gathered so that a hundred equal pods make one line."""

from __future__ import annotations

from typing import Final

_SHOWN: Final = 3
_LONGEST: Final = 1024


class Findings:
    """Problems in the order in which they were found, each with the places where it is so."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, problem: str, place: str = "") -> None:
        """`problem` reads on after `place`: `Deployment demo-rlm: container x has no memory limit`."""
        self._places.setdefault(problem, []).append(place)

    def words(self) -> str:
        """At most three problems, at most 1024 characters, with how many more there are."""
        lines = [f"{_where(places)}{problem}" for problem, places in self._places.items()]
        more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        return "; ".join(lines[:_SHOWN])[: _LONGEST - len(more)] + more


def _where(places: list[str]) -> str:
    """The Deployment speaks for its pods."""
    if not places[0]:
        return ""
    others = len(places) - 1 if not places[0].startswith("Deployment ") else 0
    return f"{places[0]} and {others} more: " if others else f"{places[0]}: "
