"""One log line per event on stderr, as JSON or as text for a person.

Called once by each service's `__main__` before anything else logs.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

LogFormat = Literal["json", "text"]


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Send every logger's records to stderr; `level` is a name of the logging module."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(build_formatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def build_formatter(log_format: LogFormat) -> logging.Formatter:
    """JSON escapes line ends and control characters, so that a logged value cannot forge a line."""
    if log_format == "text":
        return logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    return JsonFormatter(
        "{message}{levelname}{name}",
        style="{",
        timestamp=True,
        rename_fields={"levelname": "level", "name": "logger"},
    )
