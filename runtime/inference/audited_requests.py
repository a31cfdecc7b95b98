"""A line of the audit log for each request of the API, refused ones included; probes and scrapers are left out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from runtime.inference.audit import Audit
from runtime.inference.envelope import KEY_NAME
from runtime.inference.traced_requests import route_of
from runtime.web import operations_paths

ITEM_CHARACTERS: Final = 100

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_audit_middleware(audit: Audit) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Outside of what makes errors replies."""

    @web.middleware
    async def audit_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in operations_paths():
            return await handler(request)
        status: int | None = None
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            item = request.match_info.get("id")
            shown = item if item is None else item[:ITEM_CHARACTERS]
            audit.request(request.get(KEY_NAME), request.method, route_of(request), shown, status)

    return audit_middleware
