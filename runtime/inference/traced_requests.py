"""A span for each request of the API, with the request's id, its key's name and the status of the reply.

Between the middleware that gives requests their id and the one that makes errors replies. Probes and scrapers are left
out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web

from runtime.inference.envelope import KEY_NAME
from runtime.inference.tracing import Tracing, fail
from runtime.web import REQUEST_ID, operations_paths

UNKNOWN_ROUTE: Final = "/{unknown}"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def route_of(request: web.Request) -> str:
    """The pattern of the request's path, so that nothing of a caller's is in it."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else UNKNOWN_ROUTE


def build_tracing_middleware(tracing: Tracing) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def tracing_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in operations_paths():
            return await handler(request)
        with tracing.request(request.method, route_of(request), request.headers) as span:
            response = await handler(request)
            span.set_attributes(
                {
                    "http.response.status_code": response.status,
                    "rlm.request.id": request[REQUEST_ID],
                    "rlm.key.name": request.get(KEY_NAME, ""),
                }
            )
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                fail(span, str(response.status))
            return response

    return tracing_middleware
