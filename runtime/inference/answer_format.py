"""Structured final answers: the JSON schema that `response_format` asks for, and whether an answer is valid against it.

Built by the request mappings; the loop checks answers with it. Schemas are the callers' and may be anything: the
validator fetches no reference, and its regular expressions take linear time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal

import jsonschema_rs
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from runtime.inference.errors import InvalidRequestError

MAX_SCHEMA_CHARACTERS: Final = 64 * 1024  # it is part of the prompt
_MAX_PROBLEMS: Final = 5
_PROBLEM_CHARACTERS: Final = 300
_FENCED: Final = re.compile(r"\A```(?:json)?[ \t]*\n(?P<text>.*)\n[ \t]*```\Z", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Checked:
    """An answer without a fence around it, and what is wrong with it; None: it is valid."""

    text: str
    problem: str | None


@dataclass(frozen=True)
class AnswerFormat:
    schema_text: str
    _validator: jsonschema_rs.Validator = field(repr=False, compare=False)

    def check(self, answer: str) -> Checked:
        text = answer.strip()
        if fenced := _FENCED.match(text):
            text = fenced["text"].strip()
        try:
            value = from_json(text, allow_inf_nan=False)
        except ValueError as error:
            return Checked(text, f"it is not JSON: {error}")
        problems = [_describe(error) for error in islice(self._validator.iter_errors(value), _MAX_PROBLEMS)]
        return Checked(text, "; ".join(problems) or None)


def build_answer_format(schema: object, param: str) -> AnswerFormat:
    """Raises InvalidRequestError for what is no JSON schema; `param` names it in the request."""
    text = to_json(schema).decode()
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise InvalidRequestError(f"the schema is longer than {MAX_SCHEMA_CHARACTERS:,} characters", param)
    try:
        validator = jsonschema_rs.validator_for(
            from_json(text), offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except ValueError as error:
        reason = str(error).partition("\n")[0][:_PROBLEM_CHARACTERS]
        raise InvalidRequestError(f"the schema cannot be used: {reason}", param) from error
    return AnswerFormat(text, validator)


def _describe(error: jsonschema_rs.ValidationError) -> str:
    where = "".join(f"[{part!r}]" for part in error.instance_path)
    return f"at answer{where}: {error.message}"[:_PROBLEM_CHARACTERS]


class JsonSchema(BaseModel):
    """`json_schema` of OpenAI's `response_format`; name and description are for people."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """OpenAI's `response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def build(self) -> AnswerFormat | None:
        """None: the answer may be any text."""
        match self.type:
            case "text":
                return None
            case "json_object":
                return build_answer_format({"type": "object"}, "response_format")
            case "json_schema":
                if self.json_schema is None:
                    raise InvalidRequestError("response_format has no json_schema", "response_format.json_schema")
                return build_answer_format(self.json_schema.schema_, "response_format.json_schema.schema")
