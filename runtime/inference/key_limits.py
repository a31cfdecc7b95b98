"""How much one key may ask for: requests a minute, runs at a time, bytes of files.

Read by the settings: three defaults for every key and a table of exceptions by the key's name. `admission.py` enforces
the first two, `file_store.py` the third.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class KeyLimits(BaseModel):
    """Of one key. In the table, a field that is not named is as for every key; null is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int | None = Field(None, ge=1)
    concurrent_runs: int | None = Field(None, ge=1)
    file_bytes: int | None = Field(None, ge=0)


_TABLE: Final[TypeAdapter[dict[str, KeyLimits]]] = TypeAdapter(dict[str, KeyLimits])


def parse_key_limits(text: str) -> dict[str, KeyLimits]:
    """`{"alice": {"requests_per_minute": 600, "concurrent_runs": null}}`. Raises pydantic.ValidationError."""
    return _TABLE.validate_json(text)


@dataclass(frozen=True)
class LimitsByKey:
    every: KeyLimits
    exceptions: Mapping[str, KeyLimits]

    def of(self, key_name: str) -> KeyLimits:
        exception = self.exceptions.get(key_name)
        if exception is None:
            return self.every
        return self.every.model_copy(update=exception.model_dump(include=exception.model_fields_set))
