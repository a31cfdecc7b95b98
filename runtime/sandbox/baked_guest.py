"""The file of a baked guest image: `NAME.guest`, a zip of packages and of `guest.json`, which says what is in it.

`baking` writes it, `guest_catalogue` finds it, the zygote maps it, so this module is sparing with imports. Nothing in
it is compressed: each file of the guest is a piece of one mapping that all sessions share. It holds no module: the base
image's is used, and so is its compiled form.
"""

from __future__ import annotations

import json
import mmap
import struct
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from runtime.sandbox.guest_image import IMAGES, PREFIX, GuestImage, GuestImageError

SUFFIX: Final = ".guest"
FORMAT: Final = 1
MANIFEST: Final = "guest.json"
# Of a zip file: its end (entries, where their directory is), an entry of the directory (size, lengths of name, extra
# field and comment, where its data is) and what is before the data (lengths of name and extra field).
END: Final = struct.Struct("<4s6xH4xL2x")
END_SIGNATURE: Final = b"PK\5\6"
ENTRY: Final = struct.Struct("<24xLHHH8xL")
LOCAL_HEADER: Final = struct.Struct("<26xHH")


@dataclass(frozen=True)
class BakedPackage:
    """`wheel` and `sha256` are what was downloaded; `modules` is what a cell imports."""

    name: str
    version: str
    licence: str
    wheel: str
    sha256: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class BakedGuest:
    """`base` is a built-in image; `preloaded` are modules that the zygote imports besides the base's."""

    name: str
    base: str
    preloaded: tuple[str, ...]
    packages: tuple[BakedPackage, ...]

    @property
    def modules(self) -> tuple[str, ...]:
        """What cells import; a module with an underscore is its package's own."""
        modules = {module for package in self.packages for module in package.modules}
        return tuple(sorted(module for module in modules if not module.startswith("_")))

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: bytes) -> BakedGuest:
        """ValueError, KeyError or TypeError for what `to_json` did not write."""
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("it has another format")
        packages = [BakedPackage(**{**package, "modules": tuple(package["modules"])}) for package in data["packages"]]
        return cls(**{**data, "preloaded": tuple(data["preloaded"]), "packages": tuple(packages)})


def guest_path(name: str, folder: Path) -> Path:
    return folder / f"{name}{SUFFIX}"


def read_guest(path: Path) -> BakedGuest:
    """GuestImageError if it is not one that this version can use."""
    try:
        guest = BakedGuest.from_json(bytes(_read_entries(path)[MANIFEST]))
    except (OSError, LookupError, TypeError, ValueError, struct.error) as error:
        raise GuestImageError(f"{path} is not a guest image of this version ({error}): bake it again") from error
    if guest.base not in IMAGES:
        raise GuestImageError(f"{path} is based on {guest.base!r}, which is none of {', '.join(IMAGES)}: bake it again")
    return guest


def baked_image(path: Path) -> GuestImage:
    """The image that `path` makes of its base. GuestImageError as `read_guest`."""
    guest = read_guest(path)
    base = IMAGES[guest.base]
    return replace(
        base,
        name=guest.name,
        layer=path,
        preloaded=(*base.preloaded, *guest.preloaded),
        packages=tuple(sorted({*base.packages, *guest.modules})),
    )


def map_files(path: Path) -> dict[str, memoryview]:
    """The packages' files by their path in the guest, as pieces of one read-only mapping."""
    return {f"{PREFIX}/{name}": data for name, data in _read_entries(path).items() if name != MANIFEST}


def _read_entries(path: Path) -> dict[str, memoryview]:
    """The entries of a zip without compression and comment; `zipfile` would cost every session its modules."""
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    signature, count, position = END.unpack_from(content, len(content) - END.size)
    if signature != END_SIGNATURE:
        raise ValueError("it is no zip")
    found = {}
    for _ in range(count):
        size, name, extra, comment, header = ENTRY.unpack_from(content, position)
        start = position + ENTRY.size
        found[bytes(content[start : start + name]).decode()] = _data(content, header, size)
        position = start + name + extra + comment
    return found


def _data(content: memoryview, header: int, size: int) -> memoryview:
    name, extra = LOCAL_HEADER.unpack_from(content, header)
    start = header + LOCAL_HEADER.size + name + extra
    return content[start : start + size]
