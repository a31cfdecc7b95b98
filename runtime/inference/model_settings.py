"""How the models' endpoints are asked, beyond address and key: what each request carries, by which way, with which CA.

The base of `InferenceSettings`; `llm.py` opens one connection pool for each distinct `EndpointOptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, field_validator
from pydantic_settings import NoDecode

from runtime.inference.signal_settings import SignalSettings
from runtime.redaction import redact

_TEXTS: Final[TypeAdapter[dict[str, str]]] = TypeAdapter(dict[str, str])
_VALUES: Final[TypeAdapter[dict[str, Any]]] = TypeAdapter(dict[str, Any])
_OWN_FIELDS: Final = frozenset({"model", "messages", "stream", "n"})
"""Of a request's body: what the loop relies on."""


@dataclass(frozen=True)
class EndpointOptions:
    """Of one endpoint. `extra_body` joins each request's body, the others its headers and query."""

    extra_headers: Mapping[str, str] = field(default_factory=dict)
    extra_query: Mapping[str, str] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    ca_file: Path | None = None
    proxy: str | None = None


class ModelSettings(SignalSettings):
    """What a sub-model leaves unset is as for the root model at the root model's endpoint, and nothing elsewhere."""

    model_extra_headers: Annotated[dict[str, str], NoDecode] = Field(
        {}, description='further headers of each request to the root model, which are no secrets: {"x-team": "search"}'
    )
    model_extra_query: Annotated[dict[str, str], NoDecode] = Field(
        {}, description='further query parameters of each request: {"api-version": "2025-01-01"}'
    )
    model_extra_body: Annotated[dict[str, Any], NoDecode] = Field(
        {}, description='further fields of each request\'s body: {"temperature": 0}'
    )
    model_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that its endpoint is checked by; unset: the system's"
    )
    model_proxy: str | None = Field(None, description="HTTP proxy to its endpoint, http://host:port; unset: none")
    model_context_window: int | None = Field(
        None, ge=1000, description="tokens that it can take at once; unset: its history is never made short by itself"
    )
    sub_model_extra_headers: Annotated[dict[str, str] | None, NoDecode] = Field(
        None, description="the same of the sub-model; unset: the root model's, when the endpoint is the root model's"
    )
    sub_model_extra_query: Annotated[dict[str, str] | None, NoDecode] = Field(None, description="likewise")
    sub_model_extra_body: Annotated[dict[str, Any] | None, NoDecode] = Field(None, description="likewise")
    sub_model_ca_file: Path | None = Field(None, description="likewise")
    sub_model_proxy: str | None = Field(None, description="likewise")
    sub_model_context_window: int | None = Field(
        None, ge=1000, description="tokens that it can take at once; the root model is told to cut pieces that fit"
    )

    @field_validator(
        "model_extra_headers",
        "model_extra_query",
        "sub_model_extra_headers",
        "sub_model_extra_query",
        mode="before",
    )
    @classmethod
    def _parse_texts(cls, value: object) -> object:
        return _TEXTS.validate_json(value) if isinstance(value, str) else value

    @field_validator("model_extra_body", "sub_model_extra_body", mode="before")
    @classmethod
    def _parse_values(cls, value: object) -> object:
        return _VALUES.validate_json(value) if isinstance(value, str) else value

    @field_validator("model_extra_body", "sub_model_extra_body")
    @classmethod
    def _leaves_the_loops_fields(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if own := sorted(_OWN_FIELDS & set(value or {})):
            raise ValueError(f"the service sets {', '.join(own)} by itself")
        return value

    @field_validator("model_proxy", "sub_model_proxy")
    @classmethod
    def _is_proxy_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"{redact(value)!r} is not an http:// or https:// address")
        return value

    @property
    def root_options(self) -> EndpointOptions:
        return EndpointOptions(
            self.model_extra_headers,
            self.model_extra_query,
            self.model_extra_body,
            self.model_ca_file,
            self.model_proxy,
        )

    def sub_options(self, *, at_root_endpoint: bool) -> EndpointOptions:
        """What another endpoint is sent was meant for it."""
        usual = self.root_options if at_root_endpoint else EndpointOptions()
        return EndpointOptions(
            usual.extra_headers if self.sub_model_extra_headers is None else self.sub_model_extra_headers,
            usual.extra_query if self.sub_model_extra_query is None else self.sub_model_extra_query,
            usual.extra_body if self.sub_model_extra_body is None else self.sub_model_extra_body,
            self.sub_model_ca_file or usual.ca_file,
            self.sub_model_proxy or usual.proxy,
        )
