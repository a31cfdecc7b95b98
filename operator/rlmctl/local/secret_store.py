"""The Secrets of a local stack: from the manifest file, generated, and written as the folders that pods would mount."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from rlm_operator.resource import Manifest
from rlmctl.errors import InputError

_KEY_BYTES: Final = 32


class SecretStore:
    """Entries by Secret name. Values never leave it but into files of a private folder and the ready file."""

    def __init__(self, documents: Iterable[Manifest]) -> None:
        """`documents`: the file's; those of kind Secret are taken."""
        self._secrets: dict[str, dict[str, str]] = {}
        for document in documents:
            if document.get("kind") == "Secret":
                name = str((document.get("metadata") or {}).get("name", ""))
                self._secrets[name] = _entries(name, document)

    def generate(self, name: str) -> None:
        """A random `api-key`, where the operator would make one, and where the file does not hold the Secret."""
        if name not in self._secrets:
            self.put(name, "api-key", secrets.token_urlsafe(_KEY_BYTES))

    def put(self, name: str, key: str, value: str) -> None:
        """Add an entry, unless the file gave one."""
        self._secrets.setdefault(name, {}).setdefault(key, value)

    def holds(self, name: str, key: str) -> bool:
        return key in self._secrets.get(name, {})

    def first_key(self, name: str) -> str:
        """The value of `api-key`, or of the first entry."""
        entries = self._existing(name)
        return entries.get("api-key") or next(iter(entries.values()), "")

    def write_volume(self, folder: Path, source: Mapping[str, object]) -> None:
        """What a pod would find where it mounts this `secret` volume; the folder is made, mode 0700, files 0600.

        Raises InputError when the Secret or an entry is not there.
        """
        name = str(source["secretName"])
        entries = self._existing(name)
        items = source.get("items")
        files = {key: key for key in entries}
        if isinstance(items, list):
            files = {str(item["path"]): str(item["key"]) for item in items}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, key in files.items():
            if key not in entries:
                raise InputError(f"Secret {name} has no entry {key}: add it under stringData in the manifest file")
            write_private_file(folder / path, entries[key])

    def _existing(self, name: str) -> Mapping[str, str]:
        if name not in self._secrets:
            raise InputError(f"Secret {name} is not in the manifest file: add it there (kind: Secret, stringData)")
        return self._secrets[name]


def write_private_file(path: Path, content: str) -> None:
    """With the folders above it; nobody else may read either."""
    for folder in reversed(path.parents):
        folder.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(content, encoding="utf-8")


def _entries(name: str, document: Manifest) -> dict[str, str]:
    entries: dict[str, str] = {}
    for key, value in (document.get("data") or {}).items():
        try:
            entries[key] = base64.b64decode(str(value), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InputError(
                f"Secret {name}, data.{key} is not base64 of text: use stringData for plain text"
            ) from error
    return entries | {key: str(value) for key, value in (document.get("stringData") or {}).items()}
