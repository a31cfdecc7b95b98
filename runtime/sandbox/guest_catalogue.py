"""Guest images by name: the built-in ones, and the baked ones in the guests' folders.

Asked by the settings (is there such an image?) and by the compiler; the zygote is told the file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from runtime.sandbox.baked_guest import SUFFIX, baked_image, guest_path
from runtime.sandbox.guest_image import IMAGES, GuestImage, GuestImageError, default_folder


def guest_folders(folder: Path) -> list[Path]:
    """Where guests are looked for, in this order: `folder`, then the user's cache folder."""
    return list(dict.fromkeys([folder, default_folder()]))


def find_image(name: str, folders: Sequence[Path]) -> GuestImage:
    """GuestImageError, with the images that there are, if `name` is none of them or its base is not here."""
    path = next((path for path in (guest_path(name, folder) for folder in folders) if path.is_file()), None)
    if name not in IMAGES and path is None:
        raise GuestImageError(
            f"there is no guest image {name!r}: here are {', '.join(list_images(folders))}. "
            f"Baked ones are NAME{SUFFIX} in {' or '.join(map(str, folders))}; "
            f'make guest PACKAGES="…" NAME={name} bakes it'
        )
    image = IMAGES[name] if name in IMAGES or path is None else baked_image(path)
    if not is_complete(image):
        raise GuestImageError(
            f"guest image {name!r} needs the scientific packages, which this installation was built without: "
            f"run it in the container image sandbox-scientific. Here are {', '.join(list_images(folders))}"
        )
    return image


def list_images(folders: Sequence[Path]) -> list[str]:
    """The built-in images that are complete here, then the baked ones."""
    baked = {path.stem for folder in folders if folder.is_dir() for path in folder.glob(f"*{SUFFIX}")}
    return [*(image.name for image in IMAGES.values() if is_complete(image)), *sorted(baked - set(IMAGES))]


def is_complete(image: GuestImage) -> bool:
    """Whether the files of the image's own packages are installed: a container image may do without."""
    for outer, inner in image.archives.values():
        with zipfile.ZipFile(image.resource(outer)) as archive:
            if inner not in archive.NameToInfo:
                return False
    return True
