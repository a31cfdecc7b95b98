"""Log lines of the operator: JSON for machines, text for people.

A line that is logged during a pass over a resource says which, and which pass.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pythonjsonlogger.core import LogData
from pythonjsonlogger.json import JsonFormatter

from rlm_operator.kinds import Ref
from rlm_operator.resource import Kind
from rlm_operator.tracing import current_trace_id
from runtime.redaction import redact

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
_FIELDS: Final = {"asctime": "time", "levelname": "level", "name": "logger"}
_NOTHING: Final[Mapping[str, str]] = {}
_PASS: Final[ContextVar[Mapping[str, str]]] = ContextVar("pass", default=_NOTHING)
"""Fields of what is being reconciled in this context."""


def configure_logging(level: str, form: str) -> None:
    """One handler on the root logger, to standard error. `form` is `json` or `text`."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLine(_TEXT, rename_fields=_FIELDS) if form == "json" else _TextLine(_TEXT))
    handler.addFilter(_add_pass)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kopf tells of every object that it sees.
    logging.getLogger("kopf").setLevel(max(logging.getLevelName(level), logging.WARNING))


@contextmanager
def logged_for(key: Ref) -> Iterator[Mapping[str, str]]:
    """Lines inside the block have `namespace`, `stack` or `pool`, and a new `reconcile_id`. Gives these fields."""
    kind = "stack" if key.kind == Kind.STACK else "pool"
    fields = {"namespace": key.namespace, kind: key.name, "reconcile_id": secrets.token_hex(8)}
    token = _PASS.set(fields)
    try:
        yield fields
    finally:
        _PASS.reset(token)


def _add_pass(record: logging.LogRecord) -> bool:
    """A filter that lets everything pass."""
    if (trace_id := current_trace_id()) is not None:
        record.trace_id = trace_id
    for name, value in _PASS.get().items():
        setattr(record, name, value)
    return True


class _TextLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _JsonLine(JsonFormatter):
    """Redacts before values become JSON, so that a line stays JSON whatever is taken out."""

    def process_log_record(self, log_data: LogData) -> LogData:
        fields = super().process_log_record(log_data)
        return {name: redact(value) if isinstance(value, str) else value for name, value in fields.items()}
