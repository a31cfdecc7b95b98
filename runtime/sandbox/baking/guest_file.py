"""Writes the file of a baked guest image; `baked_guest` reads it."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from runtime.sandbox.baked_guest import MANIFEST, BakedGuest, guest_path


def write_guest(guest: BakedGuest, files: Mapping[str, bytes], folder: Path) -> Path:
    """`files` by their path below `guest_image.PREFIX`. Replaces an image of that name at once.

    OSError, and LargeZipFile for what a plain zip cannot hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
            for name, content in [(MANIFEST, guest.to_json().encode()), *sorted(files.items())]:
                archive.writestr(zipfile.ZipInfo(name), content)  # without the time: the same input, the same file
        path = Path(file.name)
    path.chmod(0o644)
    return path.replace(guest_path(guest.name, folder))
