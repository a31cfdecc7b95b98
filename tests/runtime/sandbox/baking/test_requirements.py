"""What can be asked for, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from runtime.sandbox.baking.errors import RequirementError
from runtime.sandbox.baking.requirements import Wanted, applies, parse_packages, read_requirements


def test_packages_are_separated_by_spaces_and_keep_versions_and_extras() -> None:
    assert [str(each) for each in parse_packages(" humanize  a[b]>=1,<2 ")] == ["humanize", "a[b]<2,>=1"]


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ('sys_platform == "wasi"', True),
        ('platform_machine == "x86_64"', False),
        ('python_version < "3.12"', False),
        ('extra == "fast"', False),
    ],
)
def test_a_marker_is_judged_for_the_guest_and_not_for_this_machine(marker: str, *, holds: bool) -> None:
    assert applies(Requirement(f"a; {marker}")) is holds


def test_a_file_may_have_comments_continued_lines_hashes_and_lines_for_other_systems(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# what we use\nhumanize==4.9.0 \\\n    --hash=sha256:aa \\\n    --hash sha256:bb  # both\n"
        'colorama==1 ; sys_platform == "win32" --hash=sha256:cc\n'
    )
    assert read_requirements(file) == [Wanted(Requirement("humanize==4.9.0"), ("sha256:aa", "sha256:bb"))]


REFUSED = {
    "a==": "'a==' is no package with an optional version",
    "x@https://example.org/x.tar.gz": "only packages of the index are baked",
    "./folder": "'./folder' is no package",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=REFUSED.keys())
def test_what_is_no_name_with_a_version_is_refused(text: str, message: str) -> None:
    with pytest.raises(RequirementError, match=message):
        parse_packages(f"humanize {text}")


LINES = {
    "-e .": "-e is not taken from a file",
    "--index-url https://example.org": "give pip its options by pip.conf",
    "a==1 --hash=sha256:aa\nb==1": "gives hashes, but none for b",
}


@pytest.mark.parametrize(("lines", "message"), LINES.items(), ids=LINES.keys())
def test_a_file_with_options_or_with_hashes_for_some_is_refused(lines: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(lines)
    with pytest.raises(RequirementError, match=message):
        read_requirements(tmp_path / "requirements.txt")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequirementError, match=f"{tmp_path / 'none'} cannot be read"):
        read_requirements(tmp_path / "none")
