"""The OpenAPI document of the service, made of the models of `runtime.wire`. Served by `app`; a test holds it to the
routes that `app` has.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from runtime.sandbox.errors import STATUS
from runtime.wire import (
    SESSION_ID_PATTERN,
    VARIABLE_PATTERN,
    CellReply,
    ErrorBody,
    ErrorCode,
    ExecuteRequest,
    ForkReply,
    ForkRequest,
    ResumeRequest,
    SessionInfo,
    SessionReply,
    SessionRequest,
    TouchReply,
    TouchRequest,
    VariableReply,
)

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
JSON: Final = "application/json"
TEXT: Final = "text/plain"
PATTERNS: Final = {"id": SESSION_ID_PATTERN, "name": VARIABLE_PATTERN}

Document = dict[str, Any]  # JSON for other programs to read; nothing here reads it again


@dataclass(frozen=True)
class Operation:
    """One route. `takes` and `gives` None: no body; `raw_*`: any text, or any JSON value."""

    method: str
    path: str
    summary: str
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    status: int = 200
    raw_body: bool = False
    raw_reply: bool = False


OPERATIONS: Final = (
    Operation("post", "/execute", "Run a cell, or several", ExecuteRequest, CellReply),
    Operation("post", "/sessions", "Create a session", SessionRequest, SessionReply, 201),
    Operation("post", "/sessions/touch", "Renew suspended sessions", TouchRequest, TouchReply),
    Operation("get", "/sessions/{id}", "Describe a session", gives=SessionInfo),
    Operation("delete", "/sessions/{id}", "End a session; idempotent", status=204),
    Operation("post", "/sessions/{id}/resume", "Answer a host call", ResumeRequest, CellReply),
    Operation("post", "/sessions/{id}/interrupt", "End the cell that runs or waits", gives=CellReply),
    Operation("post", "/sessions/{id}/fork", "Branch a session", ForkRequest, ForkReply, 201),
    Operation("put", "/sessions/{id}/variables/{name}", "Set a variable", gives=VariableReply, raw_body=True),
    Operation("get", "/sessions/{id}/variables/{name}", "Read a variable", raw_reply=True),
)


def build_document() -> Document:
    """OpenAPI 3.1."""
    taken = {operation.takes for operation in OPERATIONS if operation.takes is not None}
    given = {operation.gives for operation in OPERATIONS if operation.gives is not None} | {ErrorBody}
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "validation") for model in taken),
        *((model, "serialization") for model in given),
    ]
    _, schemas = models_json_schema(
        sorted(models, key=lambda pair: pair[0].__name__),
        ref_template="#/components/schemas/{model}",
    )
    paths: Document = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _build_operation(operation)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {"title": "rlm-operator sandbox", "version": version("rlm-operator")},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _build_operation(operation: Operation) -> Document:
    built: Document = {"summary": operation.summary, "responses": _build_responses(operation)}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}
        for name, pattern in PATTERNS.items()
        if f"{{{name}}}" in operation.path
    ]
    if parameters:
        built["parameters"] = parameters
    if operation.takes is not None:
        built["requestBody"] = {"required": True, "content": _content(operation.takes)}
    if operation.raw_body:
        built["requestBody"] = {"required": True, "content": _raw()}
    return built


def _build_responses(operation: Operation) -> Document:
    success: Document = {"description": operation.summary}
    if operation.gives is not None:
        success["content"] = _content(operation.gives)
    if operation.raw_reply:
        success["content"] = _raw()
    responses: Document = {str(operation.status): success}
    for status in sorted(set(STATUS.values())):
        codes = [code.value for code in ErrorCode if STATUS[code] == status]
        responses[str(status)] = {"description": " | ".join(codes), "content": _content(ErrorBody)}
    return responses


def _content(model: type[BaseModel]) -> Document:
    return {JSON: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _raw() -> Document:
    return {TEXT: {"schema": {"type": "string"}}, JSON: {"schema": {}}}
