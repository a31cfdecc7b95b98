"""The locked dependencies: every one by version and hash, none with an address."""

from __future__ import annotations

import re
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"


def test_every_requirement_has_an_exact_version_and_hashes_and_no_address() -> None:
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(requirements) > 40
    for requirement in requirements:
        assert re.match(r"^[A-Za-z0-9_.-]+==\S+ ", requirement), requirement[:80]
        assert "--hash=sha256:" in requirement, requirement[:80]
        assert not re.search(r"://|--index|--find-links| @ ", requirement), requirement[:80]
