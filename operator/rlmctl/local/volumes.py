"""The volumes of a rendered pod as private folders: Secrets and ConfigMaps as files, scratch and claims empty.

Called by `local/plan.py`, before the processes start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlm_operator.resource import Manifest
from rlmctl.errors import InputError
from rlmctl.local.secret_store import SecretStore, write_private_file


class Volumes:
    """`manifests`: what was rendered, where ConfigMaps are found."""

    def __init__(self, store: SecretStore, manifests: Iterable[Manifest]) -> None:
        self._store = store
        self._config_maps = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "ConfigMap"}

    def write(self, folder: Path, volume: Mapping[str, Any]) -> None:
        """Make `folder` what the pod would find where it mounts `volume`, readable by this user alone.

        Raises InputError when a Secret or ConfigMap, or an entry of one, is not there.
        """
        folder.mkdir(mode=0o700, parents=True)
        for source in volume.get("projected", {}).get("sources", [volume]):
            if "secret" in source:
                secret = source["secret"]
                self._store.write_volume(folder, {"secretName": secret.get("name"), **secret})
            elif "configMap" in source:
                self._write_config_map(folder, source["configMap"])

    def _write_config_map(self, folder: Path, source: Mapping[str, Any]) -> None:
        name = source["name"]
        if name not in self._config_maps:
            raise InputError(f"ConfigMap {name} is not in the manifest file: add it there")
        data = self._config_maps[name].get("data") or {}
        for item in source["items"]:
            if item["key"] not in data:
                raise InputError(f"ConfigMap {name} has no entry {item['key']}: add it under data in the manifest file")
            write_private_file(folder / item["path"], data[item["key"]])
