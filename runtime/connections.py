"""How many connections one port holds, so that clients that open many and say nothing keep nobody out.

Called by `web`, one for each port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web


class Connections:
    """Beyond `most`, the oldest that has no request under way is closed for each new one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: set[web.RequestHandler] = set()

    def watch(self, app: web.Application) -> None:
        """Learn which connections have a request under way; before the application is set up."""

        @web.middleware
        async def note(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            self._busy.add(request.protocol)
            try:
                return await handler(request)
            finally:
                self._busy.discard(request.protocol)

        app.middlewares.insert(0, note)

    def factory(
        self, server: web.Server, connect: Callable[[web.Server], asyncio.Protocol]
    ) -> Callable[[], asyncio.Protocol]:
        """Makes the protocol of each connection that is accepted, by `connect`."""

        def accept() -> asyncio.Protocol:
            if len(server.connections) >= self._most:
                self._close_oldest_idle(server)
            return connect(server)

        return accept

    def _close_oldest_idle(self, server: web.Server) -> None:
        for connection in server.connections:
            if connection not in self._busy and connection.transport is not None:
                connection.force_close()
                return
