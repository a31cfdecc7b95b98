"""The models of a stack: their names, endpoints, keys, prices, and what requests to them carry."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, model_validator

from rlm_operator.spec.base import ModelName, SecretKeyRef, SecretName, SpecModel, addressable
from rlm_operator.spec.headers import HeaderName, HeaderValue

_LINK_LOCAL: Final = re.compile(r"^https?://(169[.]254[.]|\[[fF][eE][89aAbB])")
_KEY_HEADERS: Final = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key"})
_LOOPS_FIELDS: Final = frozenset({"model", "messages", "stream", "n"})


def _routable(url: str) -> str:
    if _LINK_LOCAL.match(url):
        raise ValueError(
            "baseURL must not be a link-local address, such as the cloud's metadata service: "
            "write the address of the model's endpoint"
        )
    return url


def _routable_proxy(url: str) -> str:
    if _LINK_LOCAL.match(url):
        raise ValueError(
            "proxy must not be a link-local address, such as the cloud's metadata service: "
            "write the address of the proxy"
        )
    return url


def _no_key(name: str) -> str:
    if name.lower() in _KEY_HEADERS:
        raise ValueError(
            "extraHeaders are no secrets: remove the header that holds a key, "
            "and name the key's Secret in apiKeySecretRef"
        )
    return name


def _others_fields(body: dict[str, Any]) -> dict[str, Any]:
    if _LOOPS_FIELDS & set(body):
        raise ValueError(
            "extraBody must not set model, messages, stream or n, which each request sets by itself: remove it"
        )
    return body


BaseURL = Annotated[
    str,
    Field(max_length=2048, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"),
    AfterValidator(addressable),
    AfterValidator(_routable),
]
ProxyURL = Annotated[
    str,
    Field(max_length=512, pattern=r"^https?://[^\s/?#@]+/?$"),
    AfterValidator(addressable),
    AfterValidator(_routable_proxy),
]
ExtraHeaders = Annotated[dict[Annotated[HeaderName, AfterValidator(_no_key)], HeaderValue], Field(max_length=16)]
ExtraQuery = Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=16)]
ExtraBody = Annotated[dict[str, Any], Field(max_length=32), AfterValidator(_others_fields)]
ContextWindow = Annotated[int, Field(ge=1000, le=100_000_000)]
Dollars = Annotated[float, Field(ge=0, le=1_000_000)]


class Price(SpecModel):
    """USD per million tokens."""

    input: Dollars
    output: Dollars


class ConfigMapKeyRef(SpecModel):
    """One entry of a ConfigMap of the same namespace."""

    name: SecretName
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = "ca.crt"


class Endpoint(SpecModel):
    """What both models may say of the requests to them."""

    name: ModelName
    api_key_secret_ref: SecretKeyRef | None = None
    extra_headers: ExtraHeaders | None = None
    extra_query: ExtraQuery | None = None
    extra_body: ExtraBody | None = None
    ca_bundle_ref: ConfigMapKeyRef | None = None
    proxy: ProxyURL | None = None
    context_window: ContextWindow | None = None
    price: Price | None = None


class Model(Endpoint):
    """The root model and its OpenAI-compatible endpoint; without a key reference, no key is sent."""

    base_url: Annotated[BaseURL, Field(alias="baseURL")]


class SubModel(Endpoint):
    """The model of `llm_query`; at the root model's endpoint and with its key unless it says otherwise."""

    base_url: Annotated[BaseURL | None, Field(alias="baseURL")] = None
    keyless: bool = False

    @model_validator(mode="after")
    def _key(self) -> Self:
        if self.base_url is not None and self.api_key_secret_ref is None and not self.keyless:
            raise ValueError(
                "subModel with its own baseURL does not get the root model's key: "
                "add subModel.apiKeySecretRef, or keyless: true if that endpoint takes no key"
            )
        if self.keyless and self.api_key_secret_ref is not None:
            raise ValueError("subModel has keyless: true and apiKeySecretRef: remove one of them")
        if self.keyless and self.base_url is None:
            raise ValueError(
                "subModel.keyless needs subModel.baseURL: "
                "without it the root model's endpoint and key are used; remove keyless or add baseURL"
            )
        return self
