from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlmctl.asking.corpus import Document, Selection, build_body, read_corpus
from rlmctl.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "b.txt": b"two\r\nlines\r",
        "a/deep.md": "naïve".encode(),
        "a/latin.txt": "naïve".encode("latin-1"),
        "picture.png": b"\x89PNG\0\0",
        "bom.csv": b"\xef\xbb\xbfx,y",
        ".git/config": b"secret",
        ".env": b"KEY=1",
        "node_modules/x/index.js": b"x",
        "__pycache__/b.pyc": b"x",
    }
    for name, content in files.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "docs" / "link.txt").symlink_to(tmp_path / "docs" / "b.txt")
    return tmp_path / "docs"


def test_folder_becomes_documents_in_order_without_binaries_hidden_files_and_links(folder: Path) -> None:
    corpus = read_corpus([folder])
    assert corpus.documents == [
        Document("b.txt", "two\nlines\n"),
        Document("bom.csv", "x,y"),
        Document("a/deep.md", "naïve"),
    ]
    assert corpus.skipped == 2
    assert not corpus.is_single_file
    assert corpus.characters == 18


def test_patterns_select_files_of_a_folder(folder: Path) -> None:
    corpus = read_corpus([folder], Selection(include=("*.txt", "*.md"), exclude=("a",)))
    assert [document.path for document in corpus.documents] == ["b.txt"]


def test_single_file_is_sent_as_text(folder: Path) -> None:
    body = json.loads(build_body("why?", read_corpus([folder / "b.txt"])))
    assert body == {"query": "why?", "stream": True, "context": "two\nlines\n"}


def test_several_paths_are_sent_as_documents_with_their_whole_names(folder: Path) -> None:
    body = json.loads(build_body("why?", read_corpus([folder / "b.txt", folder / "a"])))
    assert [document["path"] for document in body["documents"]] == [str(folder / "b.txt"), str(folder / "a/deep.md")]


def test_no_context_is_sent_as_none() -> None:
    assert json.loads(build_body("why?", read_corpus([]))) == {"query": "why?", "stream": True}


def test_file_name_that_is_not_utf8_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "bad\udcff.txt").write_text("x")
    assert [document.path for document in read_corpus([tmp_path]).documents] == ["bad?.txt"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("absent", "no such file"), ("picture.png", "not text in UTF-8"), ("node_modules", "no text files there")],
)
def test_unusable_path_is_refused_with_the_reason(folder: Path, name: str, reason: str) -> None:
    if name == "node_modules":
        (folder / name / "x" / "index.js").unlink()
    with pytest.raises(InputError, match=reason) as error:
        read_corpus([folder / name])
    assert name in str(error.value) or name == "node_modules"
