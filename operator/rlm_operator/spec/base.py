"""What every part of a spec is made of: the base model, durations and quantities.

The CRDs are the source of truth; these types mirror their schema and defaults (a test compares the two), so that
`rlmctl render` and `rlmctl dev` understand a file that never met an API server.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

_DURATION: Final = re.compile(r"^([0-9]+(h|m|s|ms))+$")
_DURATION_PART: Final = re.compile(r"([0-9]+)(ms|h|m|s)")
_DURATION_UNITS: Final = {"h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}
_QUANTITY: Final = re.compile(r"^([0-9]+(?:\.[0-9]{1,9})?)(m|k|M|G|Ki|Mi|Gi)?$")
_QUANTITY_UNITS: Final = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
}


class SpecModel(BaseModel):
    """Part of a spec: camelCase in YAML, immutable, unknown fields refused, an explicit null counts as absent."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        """As the API server does with fields that are not nullable."""
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


class _Text(str):
    """A string with a syntax of its own, kept as it was written; `parse` raises ValueError."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Decimal:
        """The value as a number. Every subclass has a syntax; this one, which nothing uses by itself, has none."""
        raise NotImplementedError

    @classmethod
    def _validate(cls, text: str) -> _Text:
        cls.parse(text)
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls._validate, core_schema.str_schema(max_length=32))


class Duration(_Text):
    """A duration such as `30s`, `15m` or `1h30m`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Decimal:
        """Seconds."""
        if not _DURATION.match(text):
            raise ValueError(f"{text!r} is not a duration; write for example 30s, 15m or 1h30m")
        parts = _DURATION_PART.findall(text)
        return sum((int(number) * _DURATION_UNITS[unit] for number, unit in parts), Decimal(0))

    @property
    def seconds(self) -> Decimal:
        return self.parse(self)

    @property
    def seconds_text(self) -> str:
        """Seconds as settings write them: without exponent or trailing zeros."""
        return f"{self.seconds.normalize():f}"


class Quantity(_Text):
    """A Kubernetes quantity such as `500m`, `2` or `256Mi`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Decimal:
        """Plain number: cores or bytes."""
        match = _QUANTITY.match(text)
        if match is None:
            raise ValueError(f"{text!r} is not a quantity; write for example 500m, 2, 256Mi or 1Gi")
        return Decimal(match[1]) * _QUANTITY_UNITS[match[2]]

    @property
    def value(self) -> Decimal:
        return self.parse(self)

    @property
    def bytes_text(self) -> str:
        """Whole bytes, as settings write them."""
        return str(int(self.value))


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


ResourceQuantity = Annotated[Quantity, BeforeValidator(_as_text)]
"""In YAML a number (`cpu: 2`) is as good as its text."""

SecretName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
ModelName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s,]+$")]
ResourceName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


def addressable(url: str) -> str:
    """The URL. Raises ValueError where its host or port cannot be read, which no pattern tells: `http://::`."""
    try:
        parts = urlsplit(url)
        readable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        readable = False
    if not readable:
        raise ValueError(f"{url!r} has no host or port that can be read: write for example https://host:8443/path")
    return url


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """The values. Raises ValueError where one is there twice, which the API server refuses of a list that is a set."""
    again = next((value for number, value in enumerate(values) if value in values[:number]), None)
    if again is not None:
        raise ValueError(f"{again!r} is in this list twice: remove one of them")
    return values


class SecretRef(SpecModel):
    """A Secret of the same namespace, whole."""

    name: SecretName


class SecretKeyRef(SpecModel):
    """One entry of a Secret of the same namespace."""

    name: SecretName
    key: SecretKey = "api-key"


class BearerAuth(SpecModel):
    """Bearer keys of callers: from this Secret, else from one that the operator makes."""

    secret_ref: SecretRef | None = None
