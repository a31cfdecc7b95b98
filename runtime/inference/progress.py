"""A run's events as lines for a person, for clients that only know reasoning deltas."""

from __future__ import annotations

from runtime.inference.events import (
    CellCompleted,
    CellStarted,
    ChildCompleted,
    ChildStarted,
    HistoryCompacted,
    IterationStarted,
    ModelCompleted,
    RunCompleted,
    RunDiverged,
    RunFailed,
    RunStarted,
    SessionRecovered,
    SubcallCompleted,
    SubcallsStarted,
    ToolCompleted,
    ToolStarted,
    TrajectoryEvent,
)

_CODE_LINES = 12


def describe_progress(event: TrajectoryEvent) -> str | None:
    """One or more lines; None for events that say nothing by themselves. Of child runs only begin and end are told."""
    if event.node and not isinstance(event, ChildStarted | ChildCompleted):
        return None
    match event:
        case RunStarted(context=context):
            return f"Context: {context.type}, {context.characters:,} characters."
        case IterationStarted(iteration=iteration):
            return f"Turn {iteration}: asking the model."
        case HistoryCompacted(characters_before=before, characters_after=after):
            return f"History summarised: {before:,} characters are now {after:,}."
        case CellStarted(code=code):
            return "Running code:\n" + _first_lines(code)
        case SubcallsStarted(count=count, kind="rlm"):
            return f"The code asks {count:,} prompts of child runs."
        case SubcallsStarted(count=count):
            return f"The code asks the sub-model {count:,} prompts."
        case ChildStarted(node=node, depth=depth):
            return f"Child run {node} begins at depth {depth}."
        case ChildCompleted(node=node, iterations=iterations, duration_s=seconds, error=error):
            ended = f"failed: {error}" if error else f"answered after {iterations} turns"
            return f"Child run {node} {ended} ({seconds:.1f} s)."
        case SubcallCompleted(index=index, error=str(error)):
            return f"Prompt {index} failed: {error}."
        case CellCompleted(status=status, execution_time=seconds, stdout=stdout):
            return f"Code ended: {status} after {seconds:.2f} s, {len(stdout):,} characters of output."
        case SessionRecovered(reason=reason, cells=cells, duration_s=seconds):
            return f"The session was lost ({reason}) and made again from {cells} cells ({seconds:.1f} s)."
        case RunDiverged():
            return "Code that was run again did something else than the first time."
        case ToolStarted(tool=tool):
            return f"The code calls {tool}."
        case ToolCompleted(tool=tool, error=error, response_bytes=size, duration_s=seconds):
            return f"{tool} {f'failed: {error}' if error else f'gave {size:,} bytes'} ({seconds:.1f} s)."
        case SubcallCompleted() | ModelCompleted() | RunCompleted() | RunFailed():
            return None


def _first_lines(code: str) -> str:
    lines = code.strip().splitlines()
    more = [f"... {len(lines) - _CODE_LINES} more lines"] if len(lines) > _CODE_LINES else []
    return "\n".join(f"    {line}" for line in [*lines[:_CODE_LINES], *more])
