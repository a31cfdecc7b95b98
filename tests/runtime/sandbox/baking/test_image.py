"""What baking writes and refuses, as the program says it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.sandbox.baked_guest import baked_image, map_files, read_guest
from runtime.sandbox.baking.image import derive_name
from runtime.sandbox.baking.requirements import parse_packages
from runtime.sandbox.guest_image import IMAGES, SCIENTIFIC, SITE_PACKAGES, STDLIB
from tests.runtime.sandbox.baking.conftest import LocalIndex, sha256


def bake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime.sandbox.baking", "--folder", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120, check=False)


def refusal(folder: Path, *arguments: str) -> str:
    """The last line of a bake that must fail and must leave nothing."""
    done = bake(folder, *arguments)
    assert done.returncode == 1
    assert not list(folder.glob("*"))
    return done.stderr.splitlines()[-1]


def test_the_file_says_what_was_baked_and_holds_the_files(index: LocalIndex, tmp_path: Path) -> None:
    wheel = index.add("tool", "1.0", {"tool/__init__.py": "", "tool/data.txt": "data", "_own.py": ""}, "need")
    index.add("need", "2.0", None, License_Expression="MIT")
    done = bake(tmp_path, "--packages", "tool", "--name", "mine", "--preload", "tool json")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'mine.guest'}\n")
    guest = read_guest(tmp_path / "mine.guest")
    assert (guest.name, guest.base, guest.preloaded, guest.modules) == (
        "mine",
        "stdlib",
        ("tool", "json"),
        ("need", "tool"),
    )
    assert [(each.name, each.version, each.licence) for each in guest.packages] == [
        ("need", "2.0", "MIT"),
        ("tool", "1.0", "see its licence files"),
    ]
    assert (guest.packages[1].wheel, f"sha256:{guest.packages[1].sha256}") == (wheel.name, sha256(wheel))
    assert bytes(map_files(tmp_path / "mine.guest")[f"/usr/local/{SITE_PACKAGES}/tool/data.txt"]) == b"data"


def test_the_summary_names_packages_licences_modules_and_how_to_use_it(index: LocalIndex, tmp_path: Path) -> None:
    index.add("tool", "1.0", None, License_Expression="MIT")
    told = bake(tmp_path, "--packages", "tool").stderr
    for part in ("baking guest image tool on stdlib: tool", "tool 1.0", "MIT", "cells import tool", "`image: tool`"):
        assert part in told


def test_the_same_packages_give_the_same_file(index: LocalIndex, tmp_path: Path) -> None:
    index.add("tool", "1.0")
    files = []
    for _ in range(2):
        assert bake(tmp_path, "--packages", "tool").returncode == 0
        files.append((tmp_path / "tool.guest").read_bytes())
    assert files[0] == files[1]


def test_a_baked_image_is_its_base_with_more_packages(index: LocalIndex, tmp_path: Path) -> None:
    index.add("tool", "1.0", None, "numpy>=2")
    assert bake(tmp_path, "--packages", "tool", "--base", "scientific", "--preload", "tool").returncode == 0
    image = baked_image(tmp_path / "scientific-tool.guest")
    assert (image.module_file, image.extensions) == (SCIENTIFIC.module_file, True)
    assert image.preloaded == (*SCIENTIFIC.preloaded, "tool")
    assert set(image.packages) == {*SCIENTIFIC.packages, "tool"}
    assert [each.name for each in read_guest(tmp_path / "scientific-tool.guest").packages] == ["tool"]


def test_the_image_is_found_in_the_folder_of_the_services_setting(
    index: LocalIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("tool", "1.0")
    monkeypatch.setenv("SANDBOX_GUEST_DIR", str(tmp_path / "guests"))
    command = [sys.executable, "-m", "runtime.sandbox.baking", "--packages", "tool"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "guests" / "tool.guest").is_file()


REFUSED = {
    "nothing": ((), "nothing to bake: name packages"),
    "a name with capitals": (("--packages", "tool", "--name", "My_Tools"), "'My_Tools' cannot name an image"),
    "a built-in name": (("--packages", "tool", "--name", "stdlib"), "stdlib is a built-in image"),
    "a module to preload that is not there": (
        ("--packages", "tool", "--preload", "tol"),
        "PRELOAD names tol; here are",
    ),
    "a module of the standard library": (("--packages", "enum34"), "has a module enum, which the guest has already"),
    "a module of the guest": (("--packages", "sandbox"), "has a module sandbox, which the guest has already"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_baked_is_refused_in_one_line_and_leaves_nothing(
    arguments: tuple[str, ...], message: str, index: LocalIndex, tmp_path: Path
) -> None:
    index.add("tool", "1.0")
    index.add("sandbox", "1.0")
    index.add("enum34", "1.0", {"enum/__init__.py": ""})
    assert message in refusal(tmp_path / "guests", *arguments)


def test_a_folder_that_cannot_be_written_is_named(index: LocalIndex, tmp_path: Path) -> None:
    index.add("tool", "1.0")
    (tmp_path / "file").touch()
    assert f"tool cannot be written into {tmp_path / 'file' / 'guests'}: " in refusal(
        tmp_path / "file" / "guests", "--packages", "tool"
    )


def test_a_name_is_made_of_the_packages_and_stays_short() -> None:
    assert derive_name(parse_packages("humanize Python_Slugify==8 humanize>1"), STDLIB) == "humanize-python-slugify"
    assert derive_name(parse_packages("humanize"), SCIENTIFIC) == "scientific-humanize"
    assert derive_name(parse_packages("stdlib"), STDLIB) not in IMAGES
    long = [derive_name(parse_packages(f"{'long-name ' * 1}{'x' * 50} p{number}"), STDLIB) for number in range(2)]
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 63
