"""What the view prints of a run, hostile text included."""

from __future__ import annotations

import io
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console

from rlmctl.asking.trajectory import TrajectoryView
from runtime.inference.events import TrajectoryEvent

ADAPTER: TypeAdapter[TrajectoryEvent] = TypeAdapter(TrajectoryEvent)
USAGE = {"prompt_tokens": 1200, "completion_tokens": 30, "total_tokens": 1230}
HOSTILE = "\x1b]0;owned\x07 [bold]markup[/bold] \u202e"


def show(events: list[dict[str, Any]], terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=terminal, color_system=None, markup=False)
    with TrajectoryView(console) as view:
        for number, event in enumerate(events):
            view.show(ADAPTER.validate_python({"run_id": "r", "seq": number, "at": 0.0, **event}))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def run(model: str = "scripted-demo", text: str = "fine", answer: str = "42") -> list[dict[str, Any]]:
    code = f"print({text!r})\n"
    return [
        {"type": "run.started", "model": model, "context": {"type": "documents", "characters": 12000, "documents": 3}},
        {"type": "iteration.started", "iteration": 1},
        {
            "type": "model.completed",
            "iteration": 1,
            "text": f"Let me see {text}\n```repl\n{code}```\n",
            "usage": USAGE,
            "duration_s": 0.5,
        },
        {"type": "cell.started", "iteration": 1, "code": code},
        {"type": "subcalls.started", "iteration": 1, "count": 1},
        {
            "type": "subcall.completed",
            "iteration": 1,
            "index": 0,
            "model": model,
            "prompt_chars": 10,
            "prompt_preview": f"prompt {text}",
            "response_preview": f"reply {text}",
            "usage": USAGE,
            "duration_s": 0.1,
        },
        {
            "type": "cell.completed",
            "iteration": 1,
            "cell": 1,
            "status": "error",
            "stdout": f"out {text}\n",
            "stderr": f"err {text}\n",
            "error": {"type": "ValueError", "message": f"bad {text}"},
            "execution_time": 0.25,
        },
        {
            "type": "run.completed",
            "answer": answer,
            "stop_reason": "final",
            "iterations": 1,
            "sub_calls": 1,
            "usage": USAGE,
            "duration_s": 2.0,
        },
    ]


def test_turns_code_output_sub_calls_and_answer_are_shown() -> None:
    shown = show(run(model="gpt-5"))
    for part in (
        "context: 3 documents, 12,000 characters (about 3,000 tokens) · model: gpt-5",
        "turn 1",
        "Let me see fine",
        "print('fine')",
        "1 sub-call to gpt-5 · 1,200 tokens in, 30 out",
        "asked, for example: prompt fine",
        "answered: reply fine",
        "  out fine",
        "  err fine",
        "ValueError: bad fine",
        "cell 1, ended by error · 0.25 s",
        "42",
        "1 turn · 1 sub-call · 1,200 tokens in, 30 out · 2.0 s",
    ):
        assert part in shown
    assert "stand-in" not in shown


def test_answer_of_the_stand_in_is_labelled_as_such() -> None:
    assert "answer by scripted-demo, a scripted stand-in without intelligence" in show(run())


def test_hostile_text_reaches_the_terminal_without_control_characters() -> None:
    shown = show(run(text=HOSTILE, answer=HOSTILE))
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
    assert shown.count("[bold]markup[/bold]") >= 6


def test_bar_on_a_terminal_is_taken_down_at_the_end_of_the_cell() -> None:
    shown = show(run(), terminal=True)
    assert "sub-calls" in shown
    assert shown.rstrip().endswith("2.0 s")


def test_cell_that_the_loop_makes_of_final_var_is_not_shown() -> None:
    events = run()
    events[2]["text"] = "It is done.\nFINAL_VAR(result)"
    events[3]["code"] = 'FINAL_VAR("result")'
    events[6] |= {"status": "ok", "stdout": "", "stderr": "", "error": None}
    shown = show(events)
    assert "FINAL_VAR" not in shown
    assert "It is done." in shown


def test_tool_calls_are_shown_with_what_they_gave_or_why_they_failed() -> None:
    call = {"type": "tool.completed", "iteration": 1, "tool": "find_order", "response_bytes": 9, "duration_s": 0.3}
    shown = show(
        [
            {**call, "http_status": 200, "response_preview": f'{{"a": 1}} {HOSTILE}'},
            {**call, "http_status": 404, "response_preview": "", "error": "the tool refused the request (HTTP 404)"},
        ]
    )
    assert 'tool find_order · 0.3 s · {"a": 1} ' in shown
    assert "tool find_order · 0.3 s · failed: the tool refused the request (HTTP 404)" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
