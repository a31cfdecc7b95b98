"""A TCP proxy that counts what goes in each direction, for tests of what is sent and what is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_CHUNK: Final = 256 * 1024


@dataclass
class CountingProxy:
    url: str = ""
    sent: int = 0  # bytes to the server


@contextlib.asynccontextmanager
async def count_bytes(url: str) -> AsyncIterator[CountingProxy]:
    """In front of the server at `url`, until the block ends."""
    target = urlsplit(url)
    proxy = CountingProxy()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                proxy.sent += len(chunk) if counted else 0
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(pump(reader, upstream[1], counted=True), pump(upstream[0], writer, counted=False))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
