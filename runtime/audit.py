"""The audit log of a service: who asked for what, as one JSON line per event on stdout; off unless it is asked for.

Stdout has nothing else, so the lines can be kept apart from those of the service, which go to stderr. Texts of any kind
are never in it, only their sizes and hashes: with a text at hand one can show that it was there, and without it the log
gives nothing away. Fields: docs/observability.md. Written by `sandbox/ledger.py` and `inference/audit.py`.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from typing import Final, TextIO

from pythonjsonlogger.json import JsonFormatter

from runtime.logs import add_request_id

LOGGER: Final = "audit"

Field = str | int | float | bool | None | list[str]


class AuditLog:
    """`stream` None: nothing is written."""

    def __init__(self, stream: TextIO | None) -> None:
        self._handler: logging.Handler | None = None
        if stream is not None:
            self._handler = logging.StreamHandler(stream)
            self._handler.addFilter(add_request_id)
            self._handler.setFormatter(
                JsonFormatter(
                    "{message}{name}",
                    style="{",
                    timestamp=True,
                    rename_fields={"message": "event", "name": "logger"},
                )
            )

    @property
    def is_on(self) -> bool:
        return self._handler is not None

    def write(self, event: str, fields: dict[str, Field]) -> None:
        """One line; JSON escapes line ends and control characters, so that no value can forge another."""
        if self._handler is not None:
            record = logging.LogRecord(LOGGER, logging.INFO, "", 0, event, None, None)
            record.__dict__.update(fields)
            self._handler.handle(record)


def open_audit_log(*, is_on: bool) -> AuditLog:
    return AuditLog(sys.stdout if is_on else None)


def sha256(text: str) -> str:
    """Of the text's UTF-8."""
    return hashlib.sha256(encode(text)).hexdigest()


def size(text: str) -> int:
    """Bytes of the text's UTF-8."""
    return len(encode(text))


def encode(text: str) -> bytes:
    """As UTF-8. A lone surrogate is no reason to fail."""
    return text.encode("utf-8", "surrogatepass")
