"""The verdict for people, as lines, and for programs, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from rlm_operator.checklist.assessment import Check, Item
from rlmctl.terminal import plain
from rlmctl.verifying.collection import Verdict


def as_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """`published` is what the resource's status says of an item, null where it says nothing."""
    return {
        "passed": all(verdict.passed for verdict in verdicts),
        "resources": [
            {
                "kind": verdict.ref.kind,
                "namespace": verdict.ref.namespace,
                "name": verdict.ref.name,
                "passed": verdict.passed,
                "checklist": [
                    {**check.as_status(), "published": verdict.published.get(check.item)} for check in verdict.checks
                ],
            }
            for verdict in verdicts
        ],
    }


def build_lines(verdicts: Sequence[Verdict]) -> Iterator[Text]:
    """A heading and a line for each item, with an empty line between two resources."""
    width = max(len(item) for item in Item)
    for number, verdict in enumerate(verdicts):
        good = sum(check.passed for check in verdict.checks)
        if number:
            yield Text()
        heading = f"{verdict.ref.kind} {verdict.ref.namespace}/{verdict.ref.name}: {good} of {len(verdict.checks)} hold"
        yield plain(heading, "bold")
        for check in verdict.checks:
            mark = plain("  ok      ", "green") if check.passed else plain("  FAILED  ", "bold red")
            yield mark + plain(f"{check.item:{width}}  {check.message}{_contradiction(check, verdict)}")


def _contradiction(check: Check, verdict: Verdict) -> str:
    """Where the operator says something else: it sees neither running pods nor policies of others."""
    published = verdict.published.get(check.item)
    if published is None or published == check.passed:
        return ""
    return f" (The status says that it {'holds' if published else 'does not hold'}.)"
