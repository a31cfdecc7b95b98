"""A JSON document of some tens of megabytes: many small records, the kind that takes several times its size parsed."""

from __future__ import annotations

from typing import Final

RECORD_BYTES: Final = 100


def build_records(megabytes: int) -> dict[str, list[dict[str, object]]]:
    """As JSON at least `megabytes` million bytes, in records of a few fields."""
    count = megabytes * 1_000_000 // RECORD_BYTES
    return {"records": [_build_record(number) for number in range(count)]}


def _build_record(number: int) -> dict[str, object]:
    """At least RECORD_BYTES long in the tightest JSON."""
    name = f"customer {number:07}"
    return {"id": number + 1_000_000, "name": name, "paid": number % 3 == 0, "tags": ["north", "late", "bulk"], "n": 12}
