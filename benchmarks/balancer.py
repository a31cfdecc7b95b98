"""A TCP balancer: each new connection goes to the next server that is in; what is connected stays connected.

What a cluster's Service does: a pod that is told to end is taken out first and gets SIGTERM seconds later.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Final

PIECE: Final = 1 << 16


class Balancer:
    """`ports` of loopback. Use it as an async context."""

    def __init__(self, ports: list[int]) -> None:
        self._in = list(ports)
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def take_out(self, port: int) -> None:
        self._in.remove(port)

    def put_in(self, port: int) -> None:
        self._in.append(port)

    async def __aenter__(self) -> Balancer:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = asyncio.current_task()
        assert pair is not None
        self._pairs.add(pair)
        try:
            port = self._in[next(self._turn) % len(self._in)]
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        finally:
            writer.close()
            self._pairs.discard(pair)


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(PIECE):
            sink.write(piece)
            await sink.drain()
    finally:
        sink.close()
