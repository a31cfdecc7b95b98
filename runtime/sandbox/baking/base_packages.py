"""What a base image has already: the distributions of the scientific guest, and the names of the standard library.

A package that the base has is not baked again, and none may take a standard module's name.
"""

from __future__ import annotations

import zipfile
from typing import Final

from packaging.metadata import parse_email
from packaging.utils import canonicalize_name
from packaging.version import Version

from runtime.sandbox.baking.errors import PackageError
from runtime.sandbox.baking.wheel import METADATA, Wheel
from runtime.sandbox.guest_image import STDLIB_ZIP, GuestImage
from runtime.sandbox.stdlib_zip import is_standard, top_module

OF_THE_GUEST: Final = frozenset({"sandbox", "host"})  # modules that talk to the host


def provided_packages(base: GuestImage) -> dict[str, Version]:
    """Version by canonical name. The standard library's image promises no packages, whatever its archive holds."""
    if not base.packages:
        return {}
    with zipfile.ZipFile(base.resource(STDLIB_ZIP)) as archive:
        metadata = [parse_email(archive.read(name))[0] for name in archive.namelist() if METADATA.fullmatch(name)]
    return {canonicalize_name(each["name"]): Version(each["version"]) for each in metadata}


def standard_modules(base: GuestImage) -> set[str]:
    """Of the standard library, and those of the guest itself."""
    with zipfile.ZipFile(base.resource(STDLIB_ZIP)) as archive:
        return {top_module(name) for name in archive.namelist() if is_standard(name)} | OF_THE_GUEST


def refuse_taken_names(wheel: Wheel, base: GuestImage) -> None:
    """PackageError if `wheel` has a module of the standard library or of the guest itself."""
    taken = standard_modules(base).intersection(wheel.package.modules)
    if taken:
        raise PackageError(
            f"{wheel.name} {wheel.version} has a module {', '.join(sorted(taken))}, which the guest has already: "
            "leave it out; a package that still asks for it on Python 3.15 is too old"
        )
