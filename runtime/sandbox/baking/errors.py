"""Errors of baking: each ends the program with its message.

BakingError
├── RequirementError   what was asked for is malformed or of a kind that is refused
├── PackageError       a package cannot be in a guest image: compiled parts, or a name that is taken
├── DownloadError      pip found no wheel that a guest can use, or could not fetch it
└── ConflictError      two requirements, or one and the base image, cannot both be met
"""

from __future__ import annotations


class BakingError(Exception):
    """Base of the tree; messages name the package and say what to do."""


class RequirementError(BakingError):
    """A requirement that is malformed or of a kind that is refused."""


class PackageError(BakingError):
    """A package that cannot be in a guest image."""


class DownloadError(BakingError):
    """pip found no wheel that a guest can use, or could not fetch it. `package` is the canonical name, if known."""

    def __init__(self, message: str, package: str = "") -> None:
        super().__init__(message)
        self.package = package


class ConflictError(BakingError):
    """Requirements that cannot all be met."""
