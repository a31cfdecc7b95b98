"""What the API server's audit log tells of a burst: when each stack was created and when its children were applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.controlplane.audit import Request

Stack = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True)
class Served:
    """Of one stack, in seconds since the epoch: created, first and last child made, its pool's included."""

    created: float
    first: float
    last: float
    children: int


def served_stacks(requests: Sequence[Request], operator: str) -> dict[Stack, Served]:
    """Children are told from their names, which begin with the stack's."""
    created: dict[Stack, float] = {}
    made: dict[Stack, list[float]] = {}
    for request in requests:
        if request.code not in (200, 201):
            continue
        if request.user != operator and request.resource == "rlmstacks" and request.verb == "create":
            created[request.namespace, request.name] = request.answered
        elif request.user == operator and is_made(request):
            made.setdefault((request.namespace, request.name.partition("-")[0]), []).append(request.answered)
    return {
        stack: Served(at, min(made[stack]), max(made[stack]), len(made[stack]))
        for stack, at in created.items()
        if stack in made
    }


def is_made(request: Request) -> bool:
    """Whether this made a child: the apply of an object that was not there, or the creation of a Secret."""
    return request.code == 201 and request.resource != "events"


def count_requests(requests: Sequence[Request], operator: str, stacks: int) -> dict[str, float]:
    """The operator's requests for each stack, by verb, resource and status; the most frequent first."""
    counted = Counter(
        f"{request.verb} {request.resource} {request.code}"
        for request in requests
        if request.user == operator and request.verb != "watch"
    )
    return {what: round(count / stacks, 2) for what, count in counted.most_common() if count >= stacks / 10}


def worst_overtaking(served: Sequence[Served]) -> float:
    """Seconds by which a stack was first applied after a stack that was created later, at worst.

    In the order of first in, first out nobody is served later than whoever came after: 0.
    """
    worst, earliest_later = 0.0, float("inf")
    for stack in sorted(served, key=lambda stack: stack.created, reverse=True):
        worst = max(worst, stack.first - earliest_later)
        earliest_later = min(earliest_later, stack.first)
    return worst


def edit_latencies(requests: Sequence[Request], operator: str, stack: Stack) -> list[float]:
    """Seconds from each edit of the stack's spec to the next apply of its ConfigMap."""
    edits, applies = [], []
    for request in requests:
        if request.verb != "patch" or request.code != 200:
            continue
        if request.user != operator and (request.namespace, request.name, request.resource) == (*stack, "rlmstacks"):
            edits.append(request.answered)
        target = (request.namespace, request.name, request.resource)
        if request.user == operator and target == (stack[0], f"{stack[1]}-rlm", "configmaps"):
            applies.append(request.answered)
    return [next((apply for apply in applies if apply >= edit), float("inf")) - edit for edit in edits]


def say_latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum, in seconds."""
    return {
        "median": round(median(seconds), 3),
        "min": round(min(seconds), 3),
        "max": round(max(seconds), 3),
        "count": len(seconds),
    }
