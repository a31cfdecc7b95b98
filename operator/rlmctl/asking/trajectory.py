"""Shows a run as it happens: turns, code, output, sub-calls, tokens, time, and the answer at the end.

Called by `ask.py` and `demo.py` with each event. All that models and guest code wrote is made harmless first
(`rlmctl.terminal`). On a terminal sub-calls under way have a bar; elsewhere a line every few seconds.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Final

from rich.box import ROUNDED
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.syntax import Syntax

from rlmctl.terminal import count, first_lines, one_line, plain, printable
from runtime.inference.events import (
    CellCompleted,
    CellStarted,
    ContextSummary,
    IterationStarted,
    ModelCompleted,
    RunCompleted,
    RunFailed,
    RunStarted,
    StopReason,
    SubcallCompleted,
    SubcallsStarted,
    ToolCompleted,
    TrajectoryEvent,
)
from runtime.inference.parsing import parse_reply
from runtime.inference.usage import Usage
from runtime.wire import Status

STAND_IN: Final = "scripted-demo"
_PROSE_END: Final = re.compile(r"^[ \t]*(?:```|~~~|FINAL\(|FINAL_VAR\()", re.MULTILINE)
_OUTPUT_LINES: Final = 24
_CODE_LINES: Final = 80
_PREVIEW: Final = 110
_QUIET_SECONDS: Final = 2.0


@dataclass
class _Subcalls:
    """Of the cell that runs."""

    asked: int = 0
    answered: int = 0
    failed: int = 0
    usage: Usage = field(default_factory=Usage)
    models: set[str] = field(default_factory=set)
    started: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)
    first: SubcallCompleted | None = None


class TrajectoryView:
    """`show` is called with every event in order; use it as a context manager, so that the bar is taken down."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._subcalls = _Subcalls()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._model = ""
        self._blocks: tuple[str, ...] = ()  # the code of this turn's reply
        self._shows_cell = False

    def __enter__(self) -> TrajectoryView:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop_bar()

    def show(self, event: TrajectoryEvent) -> None:
        if event.node:
            return  # what a child run does by itself; its answer comes as a sub-call of the root
        match event:
            case RunStarted():
                self._model = event.model
                self._line(f"context: {describe_context(event.context)} · model: {name_model(event.model)}")
            case IterationStarted():
                self._console.print(Rule(f"turn {event.iteration}", style="cyan", align="left"))
            case ModelCompleted():
                self._show_turn(event)
            case CellStarted():
                self._subcalls = _Subcalls()
                self._shows_cell = event.code in self._blocks  # else the loop made it of FINAL_VAR(...)
                if self._shows_cell:
                    self._show_code(event.code)
            case SubcallsStarted():
                self._begin_subcalls(event.count)
            case SubcallCompleted():
                self._note_subcall(event)
            case ToolCompleted():
                ending = f"failed: {event.error}" if event.error else one_line(event.response_preview, _PREVIEW)
                self._line(f"tool {event.tool} · {event.duration_s:.1f} s · {ending}")
            case CellCompleted():
                self._end_subcalls()
                if self._shows_cell or event.status is not Status.OK:
                    self._show_cell(event)
            case RunCompleted():
                self._show_answer(event)
            case RunFailed():
                self._drop_bar()

    def _show_turn(self, event: ModelCompleted) -> None:
        reply = parse_reply(event.text)
        self._blocks = reply.blocks
        prose = _PROSE_END.split(reply.text, maxsplit=1)[0].strip()
        if prose:
            self._console.print(plain(first_lines(prose, _OUTPUT_LINES), "italic"))
        self._line(f"{name_model(self._model, short=True)} · {tokens(event.usage)} · {event.duration_s:.1f} s")

    def _show_code(self, code: str) -> None:
        shown = first_lines(printable(code), _CODE_LINES)
        syntax = Syntax(shown, "python", theme="ansi_dark", background_color="default", word_wrap=True)
        self._console.print(
            Panel(syntax, box=ROUNDED, title="code in the sandbox", title_align="left", border_style="dim")
        )

    def _show_cell(self, event: CellCompleted) -> None:
        if event.stdout.strip():
            self._console.print(Padding(plain(first_lines(event.stdout, _OUTPUT_LINES)), (0, 0, 0, 2)))
        if event.stderr.strip():
            self._console.print(Padding(plain(first_lines(event.stderr, _OUTPUT_LINES), "yellow"), (0, 0, 0, 2)))
        if event.error is not None:
            self._console.print(Padding(plain(f"{event.error.type}: {event.error.message}", "red"), (0, 0, 0, 2)))
        ending = "" if event.status is Status.OK else f", ended by {event.status}"
        self._line(f"cell {event.cell}{ending} · {event.execution_time:.2f} s")

    def _begin_subcalls(self, count: int) -> None:
        self._subcalls.asked += count
        if not self._console.is_terminal:
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("  sub-calls"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("sub-calls", total=0)
        if self._task is not None:
            self._bar.update(self._task, total=self._subcalls.asked)

    def _note_subcall(self, event: SubcallCompleted) -> None:
        calls = self._subcalls
        calls.answered += 1
        calls.failed += event.error is not None
        calls.usage += event.usage
        calls.models.add(event.model)
        calls.first = calls.first or event
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=calls.answered)
        elif time.monotonic() - calls.told >= _QUIET_SECONDS:
            calls.told = time.monotonic()
            self._line(f"sub-calls: {calls.answered:,} of {calls.asked:,} so far")

    def _end_subcalls(self) -> None:
        self._drop_bar()
        calls = self._subcalls
        if not calls.asked:
            return
        failed = f", {calls.failed:,} failed" if calls.failed else ""
        models = ", ".join(name_model(model, short=True) for model in sorted(calls.models))
        seconds = time.monotonic() - calls.started
        self._line(
            f"{count(calls.answered, 'sub-call')} to {models}{failed} · {tokens(calls.usage)} · {seconds:.1f} s",
            "green",
        )
        if calls.first is not None:
            reply = calls.first.error or calls.first.response_preview
            self._line(f"  asked, for example: {one_line(calls.first.prompt_preview, _PREVIEW)}")
            self._line(f"  answered: {one_line(reply, _PREVIEW)}")

    def _show_answer(self, event: RunCompleted) -> None:
        self._drop_bar()
        by = f" by {name_model(self._model)}" if self._model.startswith(STAND_IN) else ""
        best = " (out of turns: the best there was)" if event.stop_reason is StopReason.MAX_ITERATIONS else ""
        panel = Panel(plain(event.answer, "bold"), title=f"answer{by}{best}", title_align="left", border_style="green")
        self._console.print(panel)
        counts = f"{count(event.iterations, 'turn')} · {count(event.sub_calls, 'sub-call')}"
        cost = f" · {event.usage.cost:.4f} USD" if event.usage.cost is not None else ""
        self._line(f"{counts} · {tokens(event.usage)}{cost} · {event.duration_s:.1f} s")

    def _drop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task = None, None

    def _line(self, text: str, style: str = "dim") -> None:
        self._console.print(plain(text, style))


def describe_context(context: ContextSummary) -> str:
    if context.type == "none":
        return "none"
    documents = f"{count(context.documents, 'document')}, " if context.documents is not None else ""
    return f"{documents}{count(context.characters, 'character')} (about {context.characters // 4:,} tokens)"


def name_model(model: str, short: bool = False) -> str:
    """The stand-in is named as what it is wherever it speaks."""
    if not model.startswith(STAND_IN):
        return model
    return f"{model} (stand-in)" if short else f"{model}, a scripted stand-in without intelligence"


def tokens(usage: Usage) -> str:
    return f"{usage.prompt_tokens:,} tokens in, {usage.completion_tokens:,} out"
