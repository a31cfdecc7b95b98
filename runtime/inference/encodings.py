"""Compressed bodies: which requests may be, when one is a bomb, and which replies are.

`app.py` puts the middleware inside the envelope; `bodies.py` and `files_api.py` ask about bombs. aiohttp unpacks as it
is read, 256 KiB at a time, so nothing is unpacked beyond the limit that the reader keeps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from runtime.inference.errors import TooLargeError, UnsupportedEncodingError

LEAST_COMPRESSED: Final = 64 * 1024
"""Bytes of a JSON reply from which on the transfer saved is worth the time of packing it."""
BOMB_RATIO: Final = 100
"""Text packs to a fifth or a tenth of its size, logs at best to a fiftieth; zeros to a thousandth."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def check_ratio(request: web.Request, size: int) -> None:
    """Of a body beyond its limit, `size` bytes as unpacked so far. Raises TooLargeError with `hang_up` for a bomb: the
    rest of it must not even be unpacked to be thrown away, which is how a connection is kept otherwise."""
    packed = request.content.total_compressed_bytes
    if packed and size > BOMB_RATIO * packed:
        raise TooLargeError(
            f"the body has {size:,} bytes or more, unpacked from {packed:,}; that is more than RLM_MAX_BODY_BYTES",
            hang_up=True,
        )


@web.middleware
async def encoding_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raises UnsupportedEncodingError; packs a large JSON reply where the caller takes it. Streams are never packed:
    their events would wait for one another."""
    given = request.headers.get("Content-Encoding", "identity").strip().lower()
    if given not in UnsupportedEncodingError.known | {"identity", ""}:
        raise UnsupportedEncodingError
    response = await handler(request)
    if isinstance(response, web.Response) and response.content_type == "application/json":
        response.headers.add("Vary", "Accept-Encoding")
        if response.content_length is not None and response.content_length >= LEAST_COMPRESSED and _takes_gzip(request):
            response.enable_compression(web.ContentCoding.gzip)
    return response


def _takes_gzip(request: web.Request) -> bool:
    for offer in request.headers.get("Accept-Encoding", "").lower().split(","):
        name, _, weight = offer.partition(";")
        if name.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
