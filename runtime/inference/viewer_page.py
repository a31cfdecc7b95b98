"""GET / and what the page loads: the trajectory viewer, a page without build step and without outside addresses.

`app.py` owns one. The files hold no data, so they need no key; the page asks for one and sends it with each request
for runs. What it shows is hostile text: the policy below lets it run its own scripts only, load and send nothing
elsewhere, and forbids the calls that would parse text as markup (trusted types).
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).parent / "viewer"
PREFIX: Final = "/viewer/"
_SERVED: Final = frozenset({".html", ".css", ".js", ".svg"})
_TYPES: Final = {".js": "text/javascript"}  # some systems' tables say otherwise, and browsers then refuse a module

HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",  # ask each time, by ETag: a new version of the service has a new page
}


@dataclass(frozen=True)
class _File:
    content: bytes
    content_type: str
    etag: str


class ViewerPage:
    """Reads its files once, some 60 KB."""

    def __init__(self, folder: Path = FOLDER) -> None:
        files = {path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in _SERVED}
        index = files.pop("index.html")
        self._files = {"/": index} | {PREFIX + name: file for name, file in files.items()}

    @property
    def paths(self) -> frozenset[str]:
        """That take no key."""
        return frozenset(self._files)

    async def get(self, request: web.Request) -> web.Response:
        file = self._files[request.path]
        headers = HEADERS | {"ETag": f'"{file.etag}"'}
        if any(tag.value == file.etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.content, content_type=file.content_type, charset="utf-8", headers=headers)


def _read(path: Path) -> _File:
    content = path.read_bytes()
    content_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(content, content_type, hashlib.sha256(content).hexdigest()[:32])
