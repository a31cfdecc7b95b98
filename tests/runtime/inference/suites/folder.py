"""A folder of many small files, and what is true of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from runtime.inference.question import Document

MARK: Final = "overdue"
_FOLDERS: Final = 100


@dataclass(frozen=True)
class Folder:
    documents: list[Document]
    marked: int  # files that contain MARK


def build_folder(files: int, seed: int) -> Folder:
    chance = random.Random(f"{seed} {files}")  # noqa: S311  # a folder, no secret
    marked = set(chance.sample(range(files), files // 7))
    return Folder([_build_document(number, number in marked) for number in range(files)], len(marked))


def _build_document(number: int, is_marked: bool) -> Document:
    text = f"Invoice {number}\n" + "Nothing else of note.\n" * 20
    return Document(path=f"{number % _FOLDERS:02}/invoice-{number}.txt", text=f"{text}{MARK}\n" if is_marked else text)
