"""The texts of files that were asked about last, so that the next question does not read and decode them again.

`FileStore` owns one. A file's content never changes under its id, and whoever asks has found its record first: what is
deleted or another key's is not found. A run that goes on holds its text anyway.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_CHARACTERS: Final = 64 * 1024 * 1024  # together; one byte each for ASCII, up to four for others


class TextCache:
    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._max = max_characters
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._held = 0

    def get(self, file_id: str) -> str | None:
        if file_id in self._texts:
            self._texts.move_to_end(file_id)
        return self._texts.get(file_id)

    def keep(self, file_id: str, text: str) -> None:
        """What is too large by itself is not kept; those used longest ago make room."""
        self.drop(file_id)
        if len(text) > self._max:
            return
        self._texts[file_id] = text
        self._held += len(text)
        while self._held > self._max:
            self.drop(next(iter(self._texts)))

    def drop(self, file_id: str) -> None:
        self._held -= len(self._texts.pop(file_id, ""))
