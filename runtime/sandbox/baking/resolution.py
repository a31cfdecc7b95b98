"""Which packages go into a guest: those that are asked for and all that they need there.

pip chooses each package's version and this module the set of packages, because pip judges a dependency's marker
(`platform_machine == "x86_64"`) by the machine that it runs on. It goes on until nothing new is needed. It never takes
an older version of one package to please another: then it says which two do not agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.version import Version

from runtime.sandbox.baking.errors import ConflictError, DownloadError
from runtime.sandbox.baking.package_index import download
from runtime.sandbox.baking.requirements import Wanted, applies
from runtime.sandbox.baking.wheel import Wheel, read_wheel

MOST_ROUNDS: Final = 30  # as deep as dependencies may go
USER: Final = "you"


@dataclass(frozen=True)
class Need:
    """A requirement and whose it is."""

    wanted: Wanted
    by: str

    def __str__(self) -> str:
        return f"you asked for {self.wanted}" if self.by == USER else f"{self.by} needs {self.wanted}"


Needs = Mapping[str, Sequence[Need]]
"""By canonical name."""


def resolve(
    wanted: Sequence[Wanted], provided: Mapping[str, Version], folder: Path, found: Callable[[Wheel], None]
) -> list[Wheel]:
    """The wheels to bake, by name. `provided` is in the base; `found` is told of each as it comes. BakingError."""
    wheels: dict[str, Wheel] = {}
    asked: dict[str, set[str]] = {}
    locked = any(each.hashes for each in wanted)
    for number in range(MOST_ROUNDS):
        needs = _needs(wanted, wheels)
        _check(needs, provided, "the base image has")
        missing: Needs = {name: each for name, each in needs.items() if name not in provided}
        if locked:
            missing = _with_hash(missing)
        changed = {name: each for name, each in missing.items() if _texts(each) != asked.get(name)}
        if not changed:
            chosen = {name: wheels[name] for name in sorted(missing)}
            _check(needs, {name: wheel.version for name, wheel in chosen.items()}, "this gives")
            return list(chosen.values())
        asked |= {name: _texts(each) for name, each in changed.items()}
        for wheel in _fetch(changed, folder / str(number)):
            wheels[wheel.name] = wheel
            found(wheel)
    raise ConflictError(f"no set of packages was found in {MOST_ROUNDS} rounds: pin the versions of those you know")


def _fetch(needs: Needs, folder: Path) -> list[Wheel]:
    try:
        return [
            read_wheel(path) for path in download((need.wanted for each in needs.values() for need in each), folder)
        ]
    except DownloadError as error:
        whose = [str(need) for need in needs.get(error.package, ()) if need.by != USER]
        raise DownloadError("; ".join([str(error), *whose]), error.package) from error


def _needs(wanted: Sequence[Wanted], wheels: Mapping[str, Wheel]) -> Needs:
    """Everything needed, as far as it can be seen from the wheels that are there."""
    needs: dict[str, list[Need]] = defaultdict(list)
    waiting = [Need(each, USER) for each in wanted]
    seen: set[tuple[str, str]] = set()
    while waiting:
        need = waiting.pop()
        name = need.wanted.name
        needs[name].append(need)
        for extra in ("", *sorted(need.wanted.requirement.extras)):
            if name in wheels and (name, extra) not in seen:
                seen.add((name, extra))
                waiting += _needs_of(wheels[name], extra)
    return needs


def _needs_of(wheel: Wheel, extra: str) -> Iterator[Need]:
    by = f"{wheel.name} {wheel.version}"
    return (Need(Wanted(each), by) for each in wheel.requires if applies(each, extra))


def _with_hash(needs: Needs) -> Needs:
    """Of each package the line that has its hashes, which alone goes to pip. ConflictError if there is none."""
    lines = {name: [need for need in each if need.wanted.hashes] for name, each in needs.items()}
    for name, each in lines.items():
        if not each:
            raise ConflictError(f"{needs[name][0]}, but the file with hashes has no line for it: add one")
    return lines


def _texts(needs: Sequence[Need]) -> set[str]:
    return {str(need.wanted) for need in needs}


def _check(needs: Needs, versions: Mapping[str, Version], giver: str) -> None:
    """ConflictError for a need that the version there is does not meet."""
    for name in sorted(needs.keys() & versions.keys()):
        for need in needs[name]:
            if not need.wanted.requirement.specifier.contains(versions[name], prereleases=True):
                raise ConflictError(f"{giver} {name} {versions[name]}, but {need}")
