"""What a test does to the sandbox behind an adapter's back."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path


def delete_session(session_id: str) -> None:
    """As idleness or another pod's end would."""
    _request("DELETE", session_id)


def session_exists(session_id: str) -> bool:
    try:
        _request("GET", session_id)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    return True


def _request(method: str, session_id: str) -> None:
    request = urllib.request.Request(  # noqa: S310  # our own http address
        f"{os.environ['WASM_SERVICE_URL']}/sessions/{session_id}",
        method=method,
        headers={"Authorization": f"Bearer {Path(os.environ['WASM_API_KEY_FILE']).read_text()}"},
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  # our own http address
