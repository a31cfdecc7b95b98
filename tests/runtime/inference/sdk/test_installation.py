"""The SDK for Node is installed by version and hash, from wherever the machine's npm gets its packages."""

from __future__ import annotations

import json

from tests.runtime.inference.sdk.node_client import MANIFESTS, wanted_version


def test_every_package_of_the_lock_has_an_exact_version_and_a_hash_and_no_address() -> None:
    text = (MANIFESTS / "package-lock.json").read_text(encoding="utf-8")
    packages = {path: entry for path, entry in json.loads(text)["packages"].items() if path}
    assert packages["node_modules/openai"]["version"] == wanted_version()
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry
    assert "//" not in text
