"""Objects in few bytes: what the operator keeps of thousands of them, to be parsed again where it is asked for.

Compact JSON takes a tenth of what the same object takes as dicts and strings; a Deployment deflates to a third of that.
"""

from __future__ import annotations

import json
import zlib
from typing import Final

from rlm_operator.resource import Manifest

_WORTH_BYTES: Final = 1024
"""Shorter ones stay as they are: deflating takes 20 microseconds, and most objects are short."""
_FASTEST: Final = 1
_BRACE: Final = b"{"


def pack(manifest: Manifest) -> bytes:
    body = json.dumps(manifest, separators=(",", ":")).encode()
    return body if len(body) < _WORTH_BYTES else zlib.compress(body, _FASTEST)


def unpack(packed: bytes) -> Manifest:
    """A new object each time, the caller's own."""
    body = packed if packed.startswith(_BRACE) else zlib.decompress(packed)
    manifest: Manifest = json.loads(body)
    return manifest
