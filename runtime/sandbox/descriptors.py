"""What a guest has open, by descriptor number, and how WASI describes a file's state.

Shared by the calls on descriptors and the calls on paths.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from runtime.sandbox.errno import Errno, WasiError
from runtime.sandbox.filesystem import EPOCH_1980_NS, File, FileSystem
from runtime.sandbox.guest_image import HOST_MOUNT

DOOR = f"{HOST_MOUNT}/door"
FIRST_DESCRIPTOR = 3
MAX_DESCRIPTORS = 256
CHARACTER_DEVICE, DIRECTORY, REGULAR_FILE = 2, 3, 4
FDFLAG_APPEND = 1


@dataclass(slots=True)
class Descriptor:
    """An open file or directory; `file` is None for a directory."""

    path: str
    file: File | None = None
    position: int = 0
    append: bool = False
    is_mount: bool = False

    @property
    def regular_file(self) -> File:
        """WasiError ISDIR for a directory."""
        if self.file is None:
            raise WasiError(Errno.ISDIR)
        return self.file


class DescriptorTable:
    """The mounts are open from the start; the standard streams (0-2) are not in here."""

    def __init__(self, files: FileSystem) -> None:
        self._files = files
        self._open: dict[int, Descriptor] = {
            FIRST_DESCRIPTOR + index: Descriptor(mount, is_mount=True) for index, mount in enumerate(files.mounts)
        }

    def get(self, fd: int) -> Descriptor:
        descriptor = self._open.get(fd)
        if descriptor is None:
            raise WasiError(Errno.BADF)
        return descriptor

    def is_door(self, fd: int) -> bool:
        descriptor = self._open.get(fd)
        return descriptor is not None and descriptor.path == DOOR

    def free_number(self) -> int:
        """WasiError MFILE when all are taken."""
        numbers = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + MAX_DESCRIPTORS)
        number = next((number for number in numbers if number not in self._open), None)
        if number is None:
            raise WasiError(Errno.MFILE)
        return number

    def add(self, number: int, descriptor: Descriptor) -> None:
        if descriptor.file is not None:
            descriptor.file.descriptors += 1
        self._open[number] = descriptor

    def close(self, fd: int) -> None:
        descriptor = self.get(fd)
        if not descriptor.is_mount:
            del self._open[fd]
            self._release(descriptor)

    def renumber(self, source: int, target: int) -> None:
        """WasiError NOTSUP for mounts."""
        descriptor, replaced = self.get(source), self.get(target)
        if descriptor.is_mount or replaced.is_mount:
            raise WasiError(Errno.NOTSUP)
        if replaced is not descriptor:
            self._open[target] = self._open.pop(source)
            self._release(replaced)

    def _release(self, descriptor: Descriptor) -> None:
        if descriptor.file is not None:
            descriptor.file.descriptors -= 1
            self._files.release(descriptor.file)


def pack_filestat(files: FileSystem, path: str, file: File | None) -> bytes:
    """`filestat` of an open file, or of what is at `path`. WasiError NOENT if nothing is."""
    if file is not None:
        return pack_inode(file.inode, REGULAR_FILE, len(file.data), file.modified_ns)
    inode = files.directory_inode(path)
    if inode is None:
        raise WasiError(Errno.NOENT)
    return pack_inode(inode, DIRECTORY, 0)


def pack_inode(inode: int, kind: int, size: int, modified_ns: int = EPOCH_1980_NS) -> bytes:
    """Device 1, one link, one time for access, modification and change."""
    return struct.pack("<QQB7xQQQQQ", 1, inode, kind, 1, size, modified_ns, modified_ns, modified_ns)
