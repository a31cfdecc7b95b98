"""Tells the scripted model (`benchmarks.model`, a process of its own) what to say, and asks what it said.

Standard library only, since peers are measured in the interpreter that has them.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any, Final

MODEL: Final = "scripted"
SUB_MODEL: Final = "scripted-sub"


class ModelControl:
    def __init__(self, url: str) -> None:
        self.url = url

    def follow(self, **script: Any) -> None:
        """The fields of `benchmarks.model.Script`. Counting begins anew."""
        self._ask("PUT", "/script", json.dumps(script).encode())

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self._ask("GET", "/counts", None))
        return found

    def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(f"{self.url}{path}", data=body, method=method)  # noqa: S310  # our own http address
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # our own http address
            reply: bytes = response.read()
            return reply
