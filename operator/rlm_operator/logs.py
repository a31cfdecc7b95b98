"""Log lines of the operator: JSON for machines, text for people."""

from __future__ import annotations

import logging
from typing import Final

from pythonjsonlogger.json import JsonFormatter

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
_FIELDS: Final = {"asctime": "time", "levelname": "level", "name": "logger"}


def configure_logging(level: str, form: str) -> None:
    """One handler on the root logger, to standard error. `form` is `json` or `text`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(_TEXT, rename_fields=_FIELDS) if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kopf tells of every object that it sees.
    logging.getLogger("kopf").setLevel(max(logging.getLevelName(level), logging.WARNING))
