"""What is read from a wheel and where its files go."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.sandbox.baking.errors import PackageError, RequirementError
from runtime.sandbox.baking.wheel import read_wheel
from runtime.sandbox.guest_image import SITE_PACKAGES
from tests.runtime.sandbox.baking.conftest import LocalIndex, sha256


def test_a_wheel_gives_its_name_licence_hash_modules_and_needs(index: LocalIndex) -> None:
    files = {"My_Tool/__init__.py": "", "My_Tool/data.txt": "x", "single.py": "", "not-a-module/x.py": ""}
    path = index.add("My_Tool", "1.0", files, "other>=2", License_Expression="MIT")
    wheel = read_wheel(path)
    package = wheel.package
    assert (package.name, package.version, package.licence) == ("my-tool", "1.0", "MIT")
    assert (f"sha256:{package.sha256}", package.modules) == (sha256(path), ("My_Tool", "single"))
    assert [str(each) for each in wheel.requires] == ["other>=2"]
    assert wheel.files[f"{SITE_PACKAGES}/My_Tool/data.txt"] == b"x"


def test_the_data_folder_of_a_wheel_is_spread_and_scripts_are_left_out(index: LocalIndex) -> None:
    files = {
        "tool-1.0.data/purelib/tool.py": "1",
        "tool-1.0.data/data/share/tool/table.csv": "2",
        "tool-1.0.data/scripts/tool": "3",
    }
    wheel = read_wheel(index.add("tool", "1.0", files))
    ours = {path: data for path, data in wheel.files.items() if "dist-info" not in path}
    assert ours == {f"{SITE_PACKAGES}/tool.py": b"1", "share/tool/table.csv": b"2"}


LICENCES = {
    "classifier": ({"Classifier": "License :: OSI Approved :: MIT License"}, "MIT License"),
    "short text": ({"License": "BSD"}, "BSD"),
    "long text": ({"License": "Permission is hereby granted, " * 9}, "see its licence files"),
    "nothing": ({}, "see its licence files"),
}


@pytest.mark.parametrize(("metadata", "licence"), LICENCES.values(), ids=LICENCES.keys())
def test_a_licence_without_an_expression_is_named_as_well_as_can_be(
    metadata: dict[str, str], licence: str, index: LocalIndex
) -> None:
    assert read_wheel(index.add("tool", "1.0", None, **metadata)).package.licence == licence


@pytest.mark.parametrize("file", ["fast/_core.so", "fast/_core.cpython-315-x86_64-linux-gnu.so", "fast.libs/libz.so.1"])
def test_a_shared_library_in_a_wheel_that_calls_itself_pure_is_refused(file: str, index: LocalIndex) -> None:
    with pytest.raises(PackageError, match="fast has compiled extensions"):
        read_wheel(index.add("fast", "1.0", {"fast/__init__.py": "", file: "ELF"}))


def test_a_file_that_leads_out_of_the_wheel_is_refused(index: LocalIndex) -> None:
    with pytest.raises(PackageError, match="leads out"):
        read_wheel(index.add("evil", "1.0", {"../../evil.py": ""}))


def test_a_package_that_needs_a_url_is_refused(index: LocalIndex) -> None:
    with pytest.raises(RequirementError, match="only packages of the index"):
        read_wheel(index.add("tool", "1.0", None, "x @ git+https://example.org/x"))


def test_a_file_that_is_no_wheel_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tool-1.0-py3-none-any.whl"
    path.write_text("not a zip")
    with pytest.raises(PackageError, match=path.name):
        read_wheel(path)
