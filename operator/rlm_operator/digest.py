"""Digests and comparison of manifests: how the operator knows that there is nothing to write. Pure.

A child is in sync when the digest of what was last applied is that of what is wanted now (so that removed fields are
noticed) and everything wanted is found in the live object (so that drift is noticed); what the API server or others
added does not count.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def covers(wanted: Any, live: Any) -> bool:
    """Whether every leaf of `wanted` is equal in `live`; lists must have the same length and order.

    An empty list or object equals an absent one: the API server stores many of them so.
    """
    if live is None and wanted in ([], {}):
        return True
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(covers(value, live.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and len(wanted) == len(live) and all(map(covers, wanted, live))
    return bool(wanted == live)


def differing_lists(wanted: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    """The lists of `wanted` that `live` does not cover, at their place: a merge patch that puts them back whole."""
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        found = live.get(key)
        if isinstance(value, dict) and isinstance(found, dict):
            below = differing_lists(value, found)
            if below:
                patch[key] = below
        elif isinstance(value, list) and not covers(value, found):
            patch[key] = value
    return patch
