"""HTTP tools of a stack: functions of the REPL that the inference pods answer by a request to a host of the allow-list.

`objects/tools.py` turns them into the file that runtime/inference/tools reads. What it would refuse at its start is
refused here, so that a wrong tool is a message of `kubectl apply` and not a pod that ends.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from rlm_operator.spec.argument_schema import check_argument_schema
from rlm_operator.spec.base import Duration, Quantity, SecretKeyRef, SpecModel, distinct
from rlm_operator.spec.headers import HeaderName, HeaderValue
from rlm_operator.spec.tool_names import TAKEN_NAMES

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_LINK_LOCAL: Final = re.compile(r"^https?://(169[.]254[.]|\[[fF][eE][89aAbB])")
_NUMBER_HOST: Final = re.compile(r"^https?://(\[|([^/]*[.])?(0x[0-9a-f]*|[0-9]+)[.]?(:[0-9]+)?(/|$))")
"""An address, in any of the forms that programs read as one."""


def _tool_timeout(value: Duration) -> Duration:
    if not 0 < value.seconds <= 300:
        raise ValueError("timeout of a tool must be longer than 0s and at most 5m: write a duration such as 10s")
    return value


def _reply_size(value: Quantity) -> Quantity:
    if not 1 <= value.value <= 4 * 2**20:
        raise ValueError("maxResponseBytes of a tool must be from 1 to 4Mi: write a quantity such as 256Ki")
    return value


def _free_name(name: str) -> str:
    if name in TAKEN_NAMES:
        raise ValueError("the name of this tool is taken by the REPL or by Python: choose another, such as find_order")
    return name


ToolName = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[a-z][A-Za-z0-9_]*$"), AfterValidator(_free_name)
]
AllowedHost = Annotated[
    str, Field(min_length=1, max_length=260, pattern=r"^([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?$")
]
ToolUrl = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?(/([!\"$-z|~]|[{][A-Za-z0-9_]+[}])*)?$",
    ),
]


class SecretHeader(SpecModel):
    """A header whose value is an entry of a Secret, after `prefix`."""

    secret_key_ref: SecretKeyRef
    prefix: Annotated[str, Field(max_length=64, pattern=r"^[ -~]*$")] = ""


class Parameters(SpecModel):
    """JSON schema of a tool's arguments; what else the schema says is kept as it is."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    type: Literal["object"] = "object"
    properties: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict, max_length=64)]

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"type": self.type, "properties": self.properties, **(self.model_extra or {})}


class ToolFunction(SpecModel):
    """One function and the request that it stands for."""

    name: ToolName
    description: Annotated[str, Field(min_length=1, max_length=2000)]
    parameters: Parameters = Parameters()
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: ToolUrl
    headers: Annotated[dict[HeaderName, HeaderValue], Field(default_factory=dict, max_length=16)]
    secret_headers: Annotated[dict[HeaderName, SecretHeader], Field(default_factory=dict, max_length=8)]
    timeout: Annotated[Duration, AfterValidator(_tool_timeout)] = Duration("10s")
    max_response_bytes: Annotated[Quantity, AfterValidator(_reply_size)] = Quantity("256Ki")
    max_calls_per_run: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    allow_private_addresses: bool = False

    @property
    def host(self) -> str:
        """`name` or `name:port`, as the URL has it."""
        return self.url.split("/")[2]

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.url.startswith("http:") and not self.allow_private_addresses:
            raise ValueError(
                "url of a tool is not encrypted: write https, or allowPrivateAddresses: true for a service of your own"
            )
        if _LINK_LOCAL.match(self.url):
            raise ValueError(
                "url of a tool must not be a link-local address, such as the cloud's metadata service: "
                "write the address of the tool"
            )
        if _NUMBER_HOST.match(self.url) and not self.allow_private_addresses:
            raise ValueError(
                "url of a tool has an address in place of a host's name: write the name, or "
                "allowPrivateAddresses: true for a service of your own"
            )
        return self

    @model_validator(mode="after")
    def _arguments(self) -> Self:
        check_argument_schema(self.parameters.json_schema)
        if set(_PLACEHOLDER.findall(self.url)) - set(self.parameters.properties):
            raise ValueError(
                "url of a tool has a {name} that is none of its parameters.properties: "
                "add the property, or correct the name"
            )
        return self


class Tools(SpecModel):
    """The functions, and the hosts that they may call."""

    allowed_hosts: Annotated[tuple[AllowedHost, ...], Field(max_length=64), AfterValidator(distinct)] = ()
    functions: Annotated[tuple[ToolFunction, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _allowed(self) -> Self:
        names = [function.name for function in self.functions]
        if len(set(names)) < len(names):
            raise ValueError("tools.functions has two functions of one name: rename one of them")
        if {function.host for function in self.functions} - set(self.allowed_hosts):
            raise ValueError(
                "tools.functions has a url whose host is not in tools.allowedHosts: "
                "add it there as the url has it, with its port if it names one"
            )
        return self
