"""One wheel, read and never installed or run: what it is called, what it needs and which files a guest gets of it.

Format: the binary distribution format of the PyPA specifications.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from runtime.sandbox.baked_guest import BakedPackage
from runtime.sandbox.baking.errors import PackageError
from runtime.sandbox.baking.requirements import parse_requirement
from runtime.sandbox.guest_image import SITE_PACKAGES

METADATA: Final = re.compile(r"[^/]+\.dist-info/METADATA")
COMPILED: Final = re.compile(r"\.(so|pyd|dll|dylib)(\.\d+)*$")
LICENCE_CHARS: Final = 60


@dataclass(frozen=True)
class Wheel:
    """`files` by their path below the guest's prefix; `requires` with markers as the package gives them."""

    package: BakedPackage
    requires: tuple[Requirement, ...]
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        return self.package.name

    @property
    def version(self) -> Version:
        return Version(self.package.version)

    @property
    def size(self) -> int:
        """Bytes that it takes in the guest image."""
        return sum(map(len, self.files.values()))


def read_wheel(path: Path) -> Wheel:
    """PackageError if no guest could use it, RequirementError if it needs what is refused."""
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            content = {each.filename: archive.read(each) for each in archive.infolist() if not each.is_dir()}
    except (InvalidWheelFilename, OSError, zipfile.BadZipFile) as error:
        raise PackageError(f"{path.name} is not a wheel: {error}") from error
    metadata = _metadata(content, path)
    files = _guest_files(content)
    compiled = next((file for file in files if COMPILED.search(file)), None)
    if compiled is not None:
        raise PackageError(
            f"{name} has compiled extensions, although the name of {path.name} denies it "
            f"({PurePosixPath(compiled).name}): a guest runs WebAssembly only, so it cannot be baked"
        )
    package = BakedPackage(
        name=canonicalize_name(name),
        version=str(version),
        licence=_licence(metadata),
        wheel=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        modules=_modules(files),
    )
    return Wheel(package, tuple(map(parse_requirement, metadata.get("requires_dist", []))), files)


def _metadata(content: Mapping[str, bytes], path: Path) -> RawMetadata:
    found = next((data for name, data in content.items() if METADATA.fullmatch(name)), None)
    if found is None:
        raise PackageError(f"{path.name} has no METADATA")
    return parse_email(found)[0]


def _guest_files(content: Mapping[str, bytes]) -> dict[str, bytes]:
    """Scripts and headers are left out: a guest starts no process and compiles nothing."""
    files = {}
    for name, data in content.items():
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts:
            raise PackageError(f"{name!r} leads out of the wheel's folder")
        if not parts[0].endswith(".data"):
            files[f"{SITE_PACKAGES}/{name}"] = data
        elif parts[1] in ("purelib", "platlib"):
            files["/".join((SITE_PACKAGES, *parts[2:]))] = data
        elif parts[1] == "data":
            files["/".join(parts[2:])] = data
    return files


def _modules(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Names that can be imported: of files, and of folders with Python in them."""
    below = [PurePosixPath(file).relative_to(SITE_PACKAGES) for file in files if file.startswith(f"{SITE_PACKAGES}/")]
    tops = {file.parts[0].removesuffix(".py") for file in below if file.suffix == ".py"}
    return tuple(sorted(top for top in tops if top.isidentifier()))


def _licence(metadata: RawMetadata) -> str:
    """As the package names it: an SPDX expression, else its classifiers, else its free text if that is short."""
    classified = [each.rpartition(" :: ")[2] for each in metadata.get("classifiers", []) if each.startswith("License")]
    text = " ".join(metadata.get("license", "").split())
    named = metadata.get("license_expression") or ", ".join(classified) or (text if len(text) < LICENCE_CHARS else "")
    return named or "see its licence files"
