"""Query strings, parsed at the edge like bodies. Used by the endpoints that list, replay and resume."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from runtime.inference.envelope import invalid_body

QueryT = TypeVar("QueryT", bound=BaseModel)


def parse_query(request: web.Request, model: type[QueryT]) -> QueryT:
    """Raises InvalidRequestError that names the parameter."""
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise invalid_body(error) from error
