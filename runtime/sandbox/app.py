"""HTTP for the sandbox service: routes, authentication, bodies and the error envelope of `runtime.wire`."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import BaseModel
from pydantic_core import to_json

from runtime.keyring import KeyRing
from runtime.sandbox.bodies import MAX_REQUEST, Bodies, Body, refuse_announced
from runtime.sandbox.errors import RequestError
from runtime.sandbox.host_answer import HostAnswer
from runtime.sandbox.memory_file import Room
from runtime.sandbox.openapi import build_document
from runtime.sandbox.outbox import Outbox
from runtime.sandbox.service import SandboxService
from runtime.sandbox.variables import Bounds, IncomingVariable, Kind, receive_variable
from runtime.web import operations_paths, request_id_middleware, set_request_id
from runtime.wire import (
    LOAD_HEADER,
    SESSION_ID_PATTERN,
    VARIABLE_PATTERN,
    ErrorBody,
    ErrorCode,
    ErrorDetail,
    ExecuteRequest,
    ForkRequest,
    ResumeRequest,
    SessionRequest,
    TouchRequest,
)

MAX_CODE: Final = 1 << 20
OPENAPI_PATH: Final = "/openapi.json"
READ_SECONDS: Final = 60.0
MAX_UNREAD: Final = 128 << 20  # of replies that their clients have yet to read
OUTBOX: Final = web.AppKey("outbox", Outbox)
BODIES: Final = web.AppKey("bodies", Bodies)
BOUNDS: Final = web.AppKey("bounds", Bounds)
SERVICE: Final = web.AppKey("service", SandboxService)
OWNER: Final = web.RequestKey("owner", str)
CONTENT_TYPES: Final[dict[str, Kind]] = {"text/plain": "text", "application/json": "json"}
HTTP_CODES: Final = {
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    408: ErrorCode.SLOW_REQUEST,
    413: ErrorCode.TOO_LARGE,
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


def create_app(service: SandboxService, keys: KeyRing | None, read_seconds: float = READ_SECONDS) -> web.Application:
    """`keys` None: no authentication, every caller is the same one. A body must arrive within `read_seconds`, and a
    large reply be read within as many."""
    app = web.Application(
        middlewares=[request_id_middleware, send_middleware, error_middleware, _authentication(keys)],
    )
    app[SERVICE] = service
    app[BODIES] = Bodies(read_seconds)
    app[OUTBOX] = Outbox(MAX_UNREAD, read_seconds)
    largest, memory = service.settings.variable_bytes, service.settings.memory_bytes
    app[BOUNDS] = Bounds(largest, memory, Room(largest + memory))  # always enough for one
    app.on_response_prepare.append(set_request_id)
    app.on_response_prepare.append(_set_load)
    app.router.add_get(OPENAPI_PATH, get_openapi)
    app.router.add_post("/execute", execute)
    app.router.add_post("/sessions", create_session)
    app.router.add_post("/sessions/touch", touch_sessions)
    app.router.add_get("/sessions/{id}", get_session)
    app.router.add_delete("/sessions/{id}", delete_session)
    app.router.add_post("/sessions/{id}/resume", resume_session)
    app.router.add_post("/sessions/{id}/interrupt", interrupt_session)
    app.router.add_post("/sessions/{id}/fork", fork_session)
    app.router.add_put("/sessions/{id}/variables/{name}", put_variable)
    app.router.add_get("/sessions/{id}/variables/{name}", get_variable)
    return app


async def get_openapi(_: web.Request) -> web.Response:
    return web.json_response(build_document())


async def execute(request: web.Request) -> web.Response:
    request.app[OUTBOX].refuse_if_behind(request[OWNER])
    body = await request.app[BODIES].parse(request, ExecuteRequest)
    _check_code(body.code or "", *body.cells or ())
    return _json(await request.app[SERVICE].execute(request[OWNER], body))


async def create_session(request: web.Request) -> web.Response:
    body = await request.app[BODIES].parse(request, SessionRequest)
    _check_code(body.prelude or "")
    return _json(await request.app[SERVICE].create_session(request[OWNER], body), status=201)


async def get_session(request: web.Request) -> web.Response:
    return _json(request.app[SERVICE].describe_session(request[OWNER], _session_id(request)))


async def delete_session(request: web.Request) -> web.Response:
    request.app[SERVICE].delete_session(request[OWNER], _session_id(request))
    return web.Response(status=204)


async def resume_session(request: web.Request) -> web.Response:
    request.app[OUTBOX].refuse_if_behind(request[OWNER])
    async with request.app[BODIES].read(request, MAX_REQUEST) as body:
        call_id, answer, seconds = _answered(body)
        reply = await request.app[SERVICE].resume(request[OWNER], _session_id(request), call_id, answer, seconds)
        return _json(reply)


async def interrupt_session(request: web.Request) -> web.Response:
    return _json(await request.app[SERVICE].interrupt(request[OWNER], _session_id(request)))


async def fork_session(request: web.Request) -> web.Response:
    body = await request.app[BODIES].parse(request, ForkRequest)
    return _json(await request.app[SERVICE].fork(request[OWNER], _session_id(request), body), status=201)


async def touch_sessions(request: web.Request) -> web.Response:
    body = await request.app[BODIES].parse(request, TouchRequest)
    return _json(request.app[SERVICE].touch(request[OWNER], body.ids))


async def put_variable(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    kind = CONTENT_TYPES.get(request.content_type)
    if kind is None:
        raise RequestError(ErrorCode.MALFORMED, f"content type: one of {', '.join(CONTENT_TYPES)}")
    name, session_id = _variable(request), _session_id(request)
    bounds = request.app[BOUNDS]
    refuse_announced(request, bounds.body)

    async def receive() -> IncomingVariable:
        async with request.app[BODIES].reading():
            return await receive_variable(request.content.iter_any(), kind, bounds)

    length = bounds.body if request.content_length is None else request.content_length
    return _json(await service.put_variable(request[OWNER], session_id, name, length, receive))


async def get_variable(request: web.Request) -> web.StreamResponse:
    service, outbox = request.app[SERVICE], request.app[OUTBOX]
    async with outbox.room(service.settings.variable_bytes) as delivery:
        variable = await service.get_variable(request[OWNER], _session_id(request), _variable(request))
        content_type = "application/json" if variable.kind == "json" else "text/plain"
        head = web.Response(content_type=content_type, charset="utf-8")
        return await outbox.deliver(delivery, request, head, variable.data)


@web.middleware
async def send_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Large replies go out through the outbox."""
    response = await handler(request)
    if not isinstance(response, web.Response):
        return response
    return await request.app[OUTBOX].send(request, response, request.get(OWNER, ""))


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error leaves in the one envelope."""
    try:
        return await handler(request)
    except RequestError as error:
        return _error(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = HTTP_CODES.get(error.status, ErrorCode.MALFORMED)
        response = _error(request, RequestError(code, error.reason))
        response.set_status(error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except web.RequestPayloadError as error:
        return _error(request, RequestError(ErrorCode.MALFORMED, f"the body could not be read: {error}"))
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("request failed")
        return _error(request, RequestError(ErrorCode.INTERNAL, "the service failed; its log says why"))


def _authentication(keys: KeyRing | None) -> Middleware:
    open_paths = operations_paths() | {OPENAPI_PATH}

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in open_paths:
            return await handler(request)
        owner = "" if keys is None else keys.identify(request.headers.get("Authorization"))
        if owner is None:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "send a key of this pool: Authorization: Bearer KEY")
        request[OWNER] = owner
        return await handler(request)

    return authenticate


async def _set_load(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[LOAD_HEADER] = request.app[SERVICE].load()


def _answered(body: Body) -> tuple[str, HostAnswer, float | None]:
    """The parts of a resume, so that its text, which can be large, is not held until the cell has ended."""
    request = body.parse(ResumeRequest)
    return request.call_id, HostAnswer(request, body.release), request.timeout


def _check_code(*cells: str) -> None:
    if sum(map(len, cells)) > MAX_CODE:
        raise RequestError(ErrorCode.TOO_LARGE, f"code may have {MAX_CODE} characters; put data into a variable")


def _session_id(request: web.Request) -> str:
    session_id = request.match_info["id"]
    if not re.fullmatch(SESSION_ID_PATTERN, session_id):
        raise RequestError(ErrorCode.SESSION_NOT_FOUND, "there is no such session")
    return session_id


def _variable(request: web.Request) -> str:
    name = request.match_info["name"]
    if not re.fullmatch(VARIABLE_PATTERN, name):
        raise RequestError(ErrorCode.MALFORMED, "a variable's name is a Python identifier of at most 128 characters")
    return name


def _json(body: BaseModel, status: int = 200) -> web.Response:
    return web.Response(body=to_json(body), status=status, content_type="application/json")


def _error(request: web.Request, error: RequestError) -> web.Response:
    request.app[SERVICE].metrics.refused.labels(error.code.value).inc()
    detail = ErrorDetail(code=error.code, message=error.message, details=error.details)
    response = _json(ErrorBody(error=detail), status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.code is ErrorCode.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
