"""A run's events as lines for a person, for clients that only know reasoning deltas."""

from __future__ import annotations

from runtime.inference.events import (
    CellCompleted,
    CellStarted,
    IterationStarted,
    ModelCompleted,
    RunCompleted,
    RunFailed,
    RunStarted,
    SubcallCompleted,
    SubcallsStarted,
    TrajectoryEvent,
)

_CODE_LINES = 12


def describe_progress(event: TrajectoryEvent) -> str | None:
    """One or more lines; None for events that say nothing by themselves."""
    match event:
        case RunStarted(context=context):
            return f"Context: {context.type}, {context.characters:,} characters."
        case IterationStarted(iteration=iteration):
            return f"Turn {iteration}: asking the model."
        case CellStarted(code=code):
            return "Running code:\n" + _first_lines(code)
        case SubcallsStarted(count=count):
            return f"The code asks the sub-model {count:,} prompts."
        case SubcallCompleted(index=index, error=str(error)):
            return f"Prompt {index} failed: {error}."
        case CellCompleted(status=status, execution_time=seconds, stdout=stdout):
            return f"Code ended: {status} after {seconds:.2f} s, {len(stdout):,} characters of output."
        case SubcallCompleted() | ModelCompleted() | RunCompleted() | RunFailed():
            return None


def _first_lines(code: str) -> str:
    lines = code.strip().splitlines()
    more = [f"... {len(lines) - _CODE_LINES} more lines"] if len(lines) > _CODE_LINES else []
    return "\n".join(f"    {line}" for line in [*lines[:_CODE_LINES], *more])
