"""Which packages are chosen, by the real pip over a folder of wheels."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from packaging.tags import sys_tags
from packaging.version import Version

from runtime.sandbox.baking.errors import BakingError, ConflictError, DownloadError
from runtime.sandbox.baking.requirements import parse_packages, read_requirements
from runtime.sandbox.baking.resolution import resolve
from tests.runtime.sandbox.baking.conftest import LocalIndex, sha256


def choose(packages: str, folder: Path, **provided: str) -> list[str]:
    versions = {name: Version(version) for name, version in provided.items()}
    wheels = resolve(parse_packages(packages), versions, folder, lambda _: None)
    return [f"{wheel.name} {wheel.version}" for wheel in wheels]


def test_needs_of_needs_come_too_also_those_of_extras(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0", None, "b", "unasked; extra == 'more'")
    index.add("b", "1.0", None, "c[x]>=1")
    index.add("c", "1.5", None, "d; extra == 'x'", "e; extra == 'y'")
    index.add("d", "2.0")
    assert choose("a", tmp_path) == ["a 1.0", "b 1.0", "c 1.5", "d 2.0"]


def test_the_newest_version_that_meets_all_needs_is_taken(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0", None, "c<2")
    for version in ("1.0", "1.5", "2.0"):
        index.add("c", version)
    assert choose("c a", tmp_path) == ["a 1.0", "c 1.5"]


def test_a_need_of_a_version_that_was_dropped_is_forgotten(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0", None, "c<2")
    index.add("c", "1.0")
    index.add("c", "2.0", None, "only-of-two")
    index.add("only_of_two", "1.0")
    assert choose("a c", tmp_path) == ["a 1.0", "c 1.0"]


def test_needs_for_other_platforms_and_older_pythons_are_left_out(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0", None, "greenlet; platform_machine == 'x86_64'", "tomli; python_version < '3.11'")
    assert choose("a", tmp_path) == ["a 1.0"]


def test_what_the_base_has_is_not_fetched(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0", None, "numpy>=2")
    assert choose("a numpy", tmp_path, numpy="2.5.2") == ["a 1.0"]


def test_a_version_that_the_base_does_not_have_is_a_conflict_that_names_both(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0", None, "numpy<2")
    with pytest.raises(ConflictError, match=r"the base image has numpy 2.5.2, but a 1.0 needs numpy<2"):
        choose("a", tmp_path, numpy="2.5.2")


def test_a_compiled_package_is_named_with_its_wheel_and_who_needs_it(index: LocalIndex, tmp_path: Path) -> None:
    native = next(tag for tag in sys_tags() if tag.platform != "any")
    index.add("web", "3.1", None, "markup>=2")
    wheel = index.add("markup", "2.0", tag=str(native))
    with pytest.raises(DownloadError) as raised:
        choose("web", tmp_path)
    assert f"markup has compiled extensions ({wheel.name})" in str(raised.value)
    assert "web 3.1 needs markup>=2" in str(raised.value)
    assert raised.value.package == "markup"


def test_a_package_for_older_pythons_only_says_so(index: LocalIndex, tmp_path: Path) -> None:
    index.add("old", "1.0", None, Requires_Python="<3.15")
    with pytest.raises(DownloadError, match=r"old.*3\.15"):
        choose("old", tmp_path)


def test_a_package_that_is_published_as_source_only_is_never_built(index: LocalIndex, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    add_source(index, "source-1.0", f"open({str(ran)!r}, 'w')")
    with pytest.raises(DownloadError, match=r"no wheel of source was found.*run its code"):
        choose("source", tmp_path)
    assert not ran.exists()


def add_source(index: LocalIndex, name: str, code: str) -> None:
    """A source distribution that runs `code` as soon as anything is asked of its build."""
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    with tarfile.open(index.folder / f"{name}.tar.gz", "w:gz") as archive:
        for file, text in {"pyproject.toml": project, "backend.py": code}.items():
            entry = tarfile.TarInfo(f"{name}/{file}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))


def write_locked(index: LocalIndex, tmp_path: Path, *names: str) -> Path:
    file = tmp_path / "requirements.txt"
    lines = [f"{name}==1.0 --hash={sha256(index.folder / f'{name}-1.0-py3-none-any.whl')}\n" for name in names]
    file.write_text("".join(lines))
    return file


def test_a_file_with_hashes_is_followed_to_the_letter(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0", None, "b>=1")
    index.add("b", "1.0")
    index.add("b", "2.0")
    wanted = read_requirements(write_locked(index, tmp_path, "a", "b"))
    wheels = resolve(wanted, {}, tmp_path, lambda _: None)
    assert [str(wheel.version) for wheel in wheels] == ["1.0", "1.0"]


def test_a_wheel_with_another_hash_is_refused(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0")
    wanted = read_requirements(write_locked(index, tmp_path, "a"))
    index.add("a", "1.0", {"a.py": "replaced = True"})
    with pytest.raises(BakingError, match=r"(?i)hash"):
        resolve(wanted, {}, tmp_path, lambda _: None)


def test_a_need_that_a_file_with_hashes_leaves_out_is_named(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0", None, "b>=1")
    index.add("b", "1.0")
    wanted = read_requirements(write_locked(index, tmp_path, "a"))
    with pytest.raises(ConflictError, match=r"a 1\.0 needs b>=1, but the file with hashes has no line for it"):
        resolve(wanted, {}, tmp_path, lambda _: None)


def test_a_pinned_version_that_does_not_meet_a_need_is_a_conflict(index: LocalIndex, tmp_path: Path) -> None:
    index.add("a", "1.0", None, "b>=2")
    index.add("b", "1.0")
    wanted = read_requirements(write_locked(index, tmp_path, "a", "b"))
    with pytest.raises(ConflictError, match=r"this gives b 1\.0, but a 1\.0 needs b>=2"):
        resolve(wanted, {}, tmp_path, lambda _: None)
