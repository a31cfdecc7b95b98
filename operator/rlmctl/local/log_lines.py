"""What local processes write, as lines for a person: which process, how grave, what.

The planes log JSON, one object a line; anything else (a traceback, the stand-in's greeting) is shown as it is. Their
audit logs, which stacks have on, say of the same requests what a cluster keeps: they are not shown.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.text import Text

from rlmctl.terminal import printable

_NOT_SHOWN: Final = frozenset({"message", "level", "logger", "timestamp", "taskName", "exc_info"})
_LEVEL_STYLES: Final = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}
_NAME_STYLES: Final = ("cyan", "magenta", "green", "blue")
_WIDTH: Final = 9


@dataclass(frozen=True)
class LogPrinter:
    """`threshold`: lines of the planes below this level are not shown; other text counts as INFO."""

    console: Console
    threshold: int = logging.INFO

    def show(self, process: str, line: str) -> None:
        level, text, details = _parse(line)
        if logging.getLevelNamesMapping().get(level, logging.INFO) < self.threshold or not text:
            return
        name_style = _NAME_STYLES[sum(process.encode()) % len(_NAME_STYLES)]
        shown = Text(f"{process:<{_WIDTH}} ", style=name_style)
        shown.append("│ ", style="dim")
        if level in _LEVEL_STYLES:
            shown.append(f"{level} ", style=_LEVEL_STYLES[level])
        shown.append(printable(text), style="")
        shown.append(printable(details), style="dim")
        self.console.print(shown, soft_wrap=True)


def _parse(line: str) -> tuple[str, str, str]:
    """Level, message and the other fields as ` key=value …`."""
    try:
        record = json.loads(line)
    except ValueError:
        return "INFO", line.rstrip(), ""
    if isinstance(record, dict) and record.get("logger") == "audit":
        return "INFO", "", ""
    if not isinstance(record, dict) or "message" not in record:
        return "INFO", line.rstrip(), ""
    details = "".join(f" {key}={value}" for key, value in record.items() if key not in _NOT_SHOWN and value is not None)
    if record.get("exc_info"):
        details += f"\n{record['exc_info']}"
    return str(record.get("level", "INFO")), str(record["message"]), details
