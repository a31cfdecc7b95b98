"""A run's events as lines: the root's steps, and of child runs only begin and end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.inference.events import TrajectoryEvent, parse_event
from runtime.inference.progress import describe_progress

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
CHILD_STARTED = {"type": "child.started", "parent": 0, "index": 0, "depth": 1, "model": "m", "prompt_chars": 1}
CHILD_COMPLETED = {"type": "child.completed", "response_preview": "", "iterations": 2, "sub_calls": 0, "usage": USAGE}


def event(**fields: Any) -> TrajectoryEvent:
    return parse_event(json.dumps({"run_id": "r", "seq": 0, "at": 0, **fields}))


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"type": "iteration.started", "iteration": 2}, "Turn 2: asking the model."),
        ({"type": "iteration.started", "iteration": 2, "node": 1}, None),
        ({"type": "cell.started", "iteration": 1, "code": "x", "node": 3}, None),
        ({"type": "subcalls.started", "iteration": 1, "count": 3}, "The code asks the sub-model 3 prompts."),
        (
            {"type": "subcalls.started", "iteration": 1, "count": 3, "kind": "rlm"},
            "The code asks 3 prompts of child runs.",
        ),
        ({**CHILD_STARTED, "prompt_preview": "p", "node": 2}, "Child run 2 begins at depth 1."),
        ({**CHILD_COMPLETED, "duration_s": 1.5, "node": 2}, "Child run 2 answered after 2 turns (1.5 s)."),
        ({**CHILD_COMPLETED, "duration_s": 1.5, "node": 2, "error": "e"}, "Child run 2 failed: e (1.5 s)."),
    ],
)
def test_event_becomes_its_line(fields: dict[str, Any], line: str | None) -> None:
    assert describe_progress(event(**fields)) == line
