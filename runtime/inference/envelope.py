"""Every refusal in OpenAI's envelope, and who may ask at all.

The outermost middleware of the API: it identifies the caller by key, and turns what handlers raise (our errors, and
aiohttp's own for unknown paths, methods and sizes) into `{"error": {"message", "type", "param", "code"}}`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ValidationError

from runtime.inference.caller import Caller
from runtime.inference.errors import (
    BudgetError,
    BusyError,
    InferenceError,
    InvalidRequestError,
    MalformedError,
    MethodNotAllowedError,
    NotFoundError,
    RequestError,
    UnauthenticatedError,
    UnsupportedEncodingError,
)
from runtime.inference.metrics import Metrics
from runtime.keyring import KeyRing
from runtime.malformed import Malformed, Refuse
from runtime.web import REQUEST_ID, REQUEST_ID_HEADER, operations_paths

KEY_NAME: Final = web.RequestKey("key_name", str)
ANONYMOUS: Final = "anonymous"
_MAX_PROBLEMS: Final = 5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str
    partial_answer: str | None = None  # what the code had so far when a budget ended the run


class ErrorEnvelope(BaseModel):
    error: ErrorDetail

    def to_json(self) -> str:
        """OpenAI's fields are always there, ours only when it says something."""
        exclude = {"error": {"partial_answer"}} if self.error.partial_answer is None else None
        return self.model_dump_json(exclude=exclude)


def build_envelope(error: InferenceError) -> ErrorEnvelope:
    return ErrorEnvelope(
        error=ErrorDetail(
            message=error.message,
            type=error.type,
            param=error.param if isinstance(error, RequestError) else None,
            code=error.code,
            partial_answer=error.partial_answer if isinstance(error, BudgetError) else None,
        )
    )


def caller_of(request: web.Request) -> Caller:
    resource = request.match_info.route.resource
    return Caller(request[KEY_NAME], request[REQUEST_ID], resource.canonical if resource is not None else "")


def build_middleware(
    keys: KeyRing | None, metrics: Metrics, open_paths: frozenset[str] = frozenset()
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """`keys` None: everybody may ask (authentication is disabled). `open_paths` take no key, as health does not."""
    without_key = operations_paths() | open_paths

    @web.middleware
    async def envelope_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path not in without_key:
                request[KEY_NAME] = _identify(keys, request)
            return await handler(request)
        except RequestError as error:
            _note_refusal(metrics, request, error)
            if error.hang_up:
                return await _hang_up(request, _respond(error))
            return _respond(error)
        except InferenceError as error:
            if isinstance(error, BusyError):
                _note_refusal(metrics, request, error)
            return _respond(error)
        except (web.HTTPException, web.RequestPayloadError) as error:
            refusal = _from_http(request, error)
            _note_refusal(metrics, request, refusal)
            return _respond(refusal)
        except Exception:
            log.exception("request failed on a defect", extra={"path": request.path})
            return _respond(InferenceError("the service failed on a defect; see its log"))

    return envelope_middleware


def build_refuse(metrics: Metrics) -> Refuse:
    """For what never reaches the middleware, since it is no HTTP request."""

    def refuse(malformed: Malformed) -> web.Response:
        unpackable = malformed.status != UnsupportedEncodingError.status
        error = MalformedError(malformed.problem, malformed.status) if unpackable else UnsupportedEncodingError()
        metrics.refusals.labels(error.code).inc()
        response = _respond(error)
        response.headers[REQUEST_ID_HEADER] = malformed.request_id
        return response

    return refuse


def _note_refusal(metrics: Metrics, request: web.Request, error: InferenceError) -> None:
    metrics.refusals.labels(error.code).inc()
    fields = {"request_id": request[REQUEST_ID], "key_name": request.get(KEY_NAME), "path": request.path[:200]}
    log.info("request refused", extra={**fields, "code": error.code})


def _identify(keys: KeyRing | None, request: web.Request) -> str:
    if keys is None:
        return ANONYMOUS
    name = keys.identify(request.headers.get("Authorization"))
    if name is None:
        raise UnauthenticatedError("no or unknown API key; send `Authorization: Bearer KEY` with a key of this service")
    return name


def _respond(error: InferenceError) -> web.Response:
    status = error.http_status if isinstance(error, BudgetError) else error.status
    headers = {}
    if error.retry is not None:
        headers["x-should-retry"] = "true" if error.retry else "false"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, UnsupportedEncodingError):
        headers["Accept-Encoding"] = ", ".join(sorted(error.known))
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = ", ".join(sorted(error.allowed))
    body = build_envelope(error).to_json()
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)


async def _hang_up(request: web.Request, response: web.Response) -> web.Response:
    """Send it, and close the connection without reading what still comes."""
    response.force_close()
    await response.prepare(request)
    await response.write_eof()
    request.protocol.force_close()
    return response


def _from_http(request: web.Request, error: web.HTTPException | web.RequestPayloadError) -> RequestError:
    match error:
        case web.RequestPayloadError():
            return MalformedError(f"the body cannot be read: {' '.join(str(error).split())[:200]}")
        case web.HTTPMethodNotAllowed(allowed_methods=allowed):
            message = f"{request.path} does not take {request.method}; it takes {', '.join(sorted(allowed))}"
            return MethodNotAllowedError(message, frozenset(allowed))
        case web.HTTPNotFound():
            return NotFoundError(f"there is no {request.path} here")
        case web.HTTPException():
            return InvalidRequestError(f"{error.reason}")


def invalid_body(error: ValidationError) -> InvalidRequestError:
    """Names the fields that are wrong, not their values."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in problems]
    more = f" (and {len(shown) - _MAX_PROBLEMS} more)" if len(shown) > _MAX_PROBLEMS else ""
    param = ".".join(map(str, problems[0]["loc"])) or None
    return InvalidRequestError("; ".join(shown[:_MAX_PROBLEMS]) + more, param)
