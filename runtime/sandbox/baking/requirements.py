"""What is to be baked: requirements as given on the command line or in a requirements file.

Only names with versions are taken. A URL, a folder or a repository might have to be built, and building runs the
package's code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from runtime.sandbox.baking.errors import RequirementError

HASH: Final = re.compile(r"\s--hash[= ](\S+)")
COMMENT: Final = re.compile(r"(^|\s)#.*$")

# Of the guest, as `packaging` names it; pip would judge by the machine that bakes.
GUEST_ENVIRONMENT: Final = {
    "implementation_name": "cpython",
    "implementation_version": "3.15.0",
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_python_implementation": "CPython",
    "platform_release": "0.0.0",
    "platform_system": "wasi",
    "platform_version": "0.0.0",
    "python_full_version": "3.15.0",
    "python_version": "3.15",
    "sys_platform": "wasi",
}


@dataclass(frozen=True)
class Wanted:
    """A requirement, without its marker once that was judged; `hashes` as pip writes them (`sha256:…`)."""

    requirement: Requirement
    hashes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    def __str__(self) -> str:
        unconditional = Requirement(str(self.requirement))
        unconditional.marker = None
        return str(unconditional)


def parse_packages(text: str) -> list[Wanted]:
    """Requirements without spaces in them, separated by spaces. RequirementError."""
    return [Wanted(requirement) for requirement in map(parse_requirement, text.split()) if applies(requirement)]


def read_requirements(path: Path) -> list[Wanted]:
    """A requirements file: one requirement a line, with or without hashes. RequirementError."""
    try:
        lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RequirementError(f"{path} cannot be read: {error}") from error
    wanted = list(_parse_lines(path, (COMMENT.sub("", line).strip() for line in lines)))
    without = [each.name for each in wanted if not each.hashes]
    if without and len(without) < len(wanted):
        raise RequirementError(f"{path} gives hashes, but none for {', '.join(without)}: give them for all or for none")
    return wanted


def parse_requirement(text: str) -> Requirement:
    """RequirementError for what is none, or is a URL, which pip would fetch from elsewhere and perhaps build."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise RequirementError(
            f"{text!r} is no package with an optional version, such as humanize or python-slugify==8.0.4"
        ) from error
    if requirement.url is not None:
        raise RequirementError(
            f"{text!r}: only packages of the index are baked, since others may have to be built, "
            "which runs their code; give a name and a version"
        )
    return requirement


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Whether its marker holds in the guest, for a package that was asked for with `extra`."""
    return requirement.marker is None or requirement.marker.evaluate({**GUEST_ENVIRONMENT, "extra": extra})


def _parse_lines(path: Path, lines: Iterable[str]) -> Iterator[Wanted]:
    for line in filter(None, lines):
        if line.startswith("-"):
            raise RequirementError(
                f"{path}: {line.split()[0]} is not taken from a file: write requirements only, "
                "and give pip its options by pip.conf or PIP_ variables"
            )
        requirement = parse_requirement(HASH.sub("", line).strip())
        if applies(requirement):
            yield Wanted(requirement, tuple(HASH.findall(line)))
