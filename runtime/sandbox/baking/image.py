"""Puts the wheels together into a guest image's file."""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.sandbox.baked_guest import BakedGuest
from runtime.sandbox.baking.base_packages import provided_packages, refuse_taken_names, standard_modules
from runtime.sandbox.baking.errors import BakingError, DownloadError, RequirementError
from runtime.sandbox.baking.guest_file import write_guest
from runtime.sandbox.baking.requirements import Wanted
from runtime.sandbox.baking.resolution import resolve
from runtime.sandbox.baking.wheel import Wheel
from runtime.sandbox.guest_image import IMAGES, NAME_CHARS, NAME_PATTERN, SCIENTIFIC, GuestImage

NAMED_IN_FULL: Final = 40  # characters of a made-up name; a longer one ends in a digest


@dataclass(frozen=True)
class Order:
    """What to bake. `preloaded` are modules that the zygote imports once for all sessions."""

    wanted: Sequence[Wanted]
    base: GuestImage
    name: str
    preloaded: tuple[str, ...]


def derive_name(wanted: Iterable[Wanted], base: GuestImage) -> str:
    """Of what was asked for, for who gives no name: `humanize-python-slugify`, `scientific-humanize`."""
    names = dict.fromkeys(each.name for each in wanted)
    prefix = [base.name] if base.packages else []
    full = re.sub(r"[^a-z0-9]+", "-", "-".join([*prefix, *names])).strip("-")
    if len(full) <= NAMED_IN_FULL and full not in IMAGES:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{full[:NAMED_IN_FULL].rstrip('-')}-{digest}"


def check_name(name: str) -> None:
    """RequirementError for a name that no pool could give."""
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > NAME_CHARS:
        raise RequirementError(
            f"{name!r} cannot name an image: use lower-case letters, digits and inner hyphens, at most {NAME_CHARS}"
        )
    if name in IMAGES:
        raise RequirementError(f"{name} is a built-in image: give the baked one another NAME")


def bake(order: Order, folder: Path, found: Callable[[Wheel], None]) -> tuple[BakedGuest, Path]:
    """Fetch and write; the image and its file. `found` is told of each wheel as it comes. BakingError."""
    with tempfile.TemporaryDirectory(prefix="baking-") as downloads:
        try:
            wheels = resolve(order.wanted, provided_packages(order.base), Path(downloads), found)
        except DownloadError as error:
            if error.package in provided_packages(SCIENTIFIC):
                raise DownloadError(f"{error}; BASE={SCIENTIFIC.name} has it", error.package) from error
            raise
    for wheel in wheels:
        refuse_taken_names(wheel, order.base)
    guest = BakedGuest(order.name, order.base.name, order.preloaded, tuple(wheel.package for wheel in wheels))
    _check_preloaded(order, guest)
    files = {path: content for wheel in wheels for path, content in wheel.files.items()}
    try:
        return guest, write_guest(guest, files, folder)
    except (OSError, zipfile.LargeZipFile) as error:
        raise BakingError(f"{order.name} cannot be written into {folder}: {error}") from error


def _check_preloaded(order: Order, guest: BakedGuest) -> None:
    """A module that is not there would keep the service from starting."""
    known = {*guest.modules, *order.base.packages}
    tops = {module: module.partition(".")[0] for module in order.preloaded}
    unknown = [module for module, top in tops.items() if top not in known | standard_modules(order.base)]
    if unknown:
        raise RequirementError(f"PRELOAD names {', '.join(unknown)}; here are {', '.join(sorted(known))}")
