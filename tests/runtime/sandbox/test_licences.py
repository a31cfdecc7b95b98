"""docs/licenses.md names every part of the guest images, in the version that is installed."""

from __future__ import annotations

from pathlib import Path

from runtime.sandbox.guest_image import STDLIB

LIST = Path(__file__).parents[3] / "docs" / "licenses.md"
RENAMED = {"sqlite-autoconf": "sqlite", "python": "cpython"}


def listed() -> dict[str, str]:
    """Part -> version."""
    rows = [line.split("|")[1:3] for line in LIST.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {name.strip(): version.strip() for name, version in rows[2:]}


def test_every_licence_text_of_the_distribution_is_in_the_list() -> None:
    texts = STDLIB.resource("artifacts/LICENSES").glob("*.txt")
    assert set(listed()) == {text.stem for text in texts}


def test_every_part_is_listed_in_its_installed_version() -> None:
    installed: dict[str, str] = {}
    for line in STDLIB.resource("artifacts/MANIFEST").read_text(encoding="utf-8").splitlines():
        kind, *words = line.split()
        if kind == "package":
            installed[RENAMED.get(words[0], words[0])] = words[1]
        elif kind == "python":
            installed[RENAMED[kind]] = words[0]
    assert {name: version for name, version in listed().items() if version != "as built"} == installed
