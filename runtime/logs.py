"""One log line per event on stderr, as JSON or as text for a person.

Called once by each service's `__main__` before anything else logs. A line that is logged for a request has its id,
which `web` sets here for as long as the request is handled; what the handler starts inherits it.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Final, Literal

from pythonjsonlogger.json import JsonFormatter

LogFormat = Literal["json", "text"]

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""Of the request that is being handled in this context."""
TRACE_ID: Final[ContextVar[str | None]] = ContextVar("trace_id", default=None)
"""Of the trace that the request is part of, 32 hexadecimal digits."""


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Send every logger's records to stderr; `level` is a name of the logging module."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(build_formatter(log_format))
    handler.addFilter(add_request_id)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def add_request_id(record: logging.LogRecord) -> bool:
    """A filter that lets everything pass, with the request's id and that of its trace."""
    request_id, trace_id = REQUEST_ID.get(), TRACE_ID.get()
    if request_id is not None:
        record.request_id = request_id
    if trace_id is not None:
        record.trace_id = trace_id
    return True


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
