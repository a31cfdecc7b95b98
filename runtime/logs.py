"""One log line per event on stderr, as JSON or as text for a person.

Called once by each service's `__main__` before anything else logs. A line that is logged for a request has its id,
which `web` sets here for as long as the request is handled; what the handler starts inherits it.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Final, Literal

from pythonjsonlogger.core import LogData
from pythonjsonlogger.json import JsonFormatter

from runtime.redaction import redact

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
    """JSON escapes line ends and control characters, so that a logged value cannot forge a line. What looks like a
    secret is taken out of every value."""
    if log_format == "text":
        return _TextLine("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    return _JsonLine(
        "{message}{levelname}{name}",
        style="{",
        timestamp=True,
        rename_fields={"levelname": "level", "name": "logger"},
    )


class _TextLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _JsonLine(JsonFormatter):
    """Redacts before the values become JSON, so that a line stays JSON whatever is taken out."""

    def process_log_record(self, log_data: LogData) -> LogData:
        return {name: _redact_value(value) for name, value in super().process_log_record(log_data).items()}


def _redact_value(value: object) -> object:
    match value:
        case str():
            return redact(value)
        case dict():
            return {name: _redact_value(item) for name, item in value.items()}
        case list() | tuple():
            return [_redact_value(item) for item in value]
        case _:
            return value
