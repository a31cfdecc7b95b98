"""Files and folders as the context of a question.

Folders are walked in the order of their names; links are not followed. What tools keep for themselves (names that begin
with a dot, `__pycache__`, `node_modules`) is left out; what is no text (a NUL byte, or not UTF-8) as well, and counted.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic_core import to_json

from rlmctl.errors import InputError

_TOOL_FOLDERS: Final = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True)
class Document:
    """`path` as the code in the run sees it."""

    path: str
    text: str


@dataclass
class Corpus:
    """`is_single_file`: exactly one file was named, so the context is its text; otherwise it is a list of documents."""

    documents: list[Document] = field(default_factory=list)
    skipped: int = 0
    is_single_file: bool = False

    @property
    def characters(self) -> int:
        return sum(len(document.text) for document in self.documents)

    def body_fields(self) -> dict[str, object]:
        """The part of the request body of POST /rlm/v1/runs that holds the context; empty without one."""
        if not self.documents:
            return {}
        if self.is_single_file:
            return {"context": self.documents[0].text}
        return {"documents": [{"path": each.path, "text": each.text} for each in self.documents]}


@dataclass(frozen=True)
class Selection:
    """Patterns of names, for what is in folders: files to take (none: all), files and folders to leave out."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def takes_file(self, name: str) -> bool:
        return not self.leaves_out(name) and (not self.include or _matches(name, self.include))

    def leaves_out(self, name: str) -> bool:
        return name.startswith(".") or name in _TOOL_FOLDERS or _matches(name, self.exclude)


def read_corpus(
    paths: Sequence[Path], selection: Selection = Selection(), on_file: Callable[[Path], None] = lambda _: None
) -> Corpus:
    """Read files and folders; a file that is named is always taken. `on_file` is called before each is read.

    Raises InputError when a path does not exist, a named file is no text, or nothing is left.
    """
    corpus = Corpus(is_single_file=len(paths) == 1 and paths[0].is_file())
    for path in paths:
        if not path.exists():
            raise InputError(f"--context {path}: there is no such file or folder")
        if path.is_file():
            on_file(path)
            text = read_text(path)
            if text is None:
                raise InputError(f"--context {path}: this is not text in UTF-8; convert it, or leave it out")
            corpus.documents.append(Document(path.name if len(paths) == 1 else str(path), text))
            continue
        for file in walk(path, selection):
            on_file(file)
            text = read_text(file)
            if text is None:
                corpus.skipped += 1
                continue
            name = file.relative_to(path) if len(paths) == 1 else file
            corpus.documents.append(Document(_utf8(name.as_posix()), text))
    if paths and not corpus.documents:
        raise InputError(f"--context: no text files there ({corpus.skipped} files are not text)")
    return corpus


def walk(folder: Path, selection: Selection) -> Iterator[Path]:
    """Every file below the folder that is selected, by name."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not selection.leaves_out(name))
        for name in sorted(files):
            file = Path(parent, name)
            if selection.takes_file(name) and not file.is_symlink() and file.is_file():
                yield file


def read_text(file: Path) -> str | None:
    """The file's text with `\\n` line ends, as Python's `open` reads it; None when it is no text. Raises InputError."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    if b"\0" in raw:
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def build_body(question: str, corpus: Corpus) -> bytes:
    """The JSON body of POST /rlm/v1/runs."""
    return to_json({"query": question, "stream": True, **corpus.body_fields()})


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _utf8(name: str) -> str:
    """A file name that is not UTF-8 has surrogates, which JSON cannot carry."""
    return name.encode("utf-8", "replace").decode("utf-8")
