"""The file that declares a stack's tools (`RLM_TOOLS_FILE`): YAML or JSON, camelCase, checked as a whole at start.

    allowedHosts: [api.example.com, "search.tools.svc:8080"]
    tools:
    - name: find_order
      description: Looks an order up by its number.
      parameters: {type: object, properties: {number: {type: integer}}, required: [number]}
      method: GET
      url: https://api.example.com/v1/orders/{number}
      secretHeaders: {authorization: {file: /etc/rlm/tools/orders, prefix: "Bearer "}}

Read by `toolbox.py`. The host of a tool is fixed by its declaration; arguments reach the path, the query and the body.
"""

from __future__ import annotations

import builtins
import keyword
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from runtime.inference.tools.addresses import is_refused_literal

MAX_TOOLS: Final = 50
FOLDER: Final = "folder"
RESERVED_NAMES: Final = frozenset(
    {
        "context",
        "history",
        "answer",
        "parent_context",
        "SHOW_VARS",
        "llm_query",
        "llm_query_batched",
        "rlm_query",
        "rlm_query_batched",
        "FINAL",
        "FINAL_VAR",
        "SUBMIT",
        "sandbox",
    }
)
_HOP_HEADERS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type", "cookie"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
HeaderValue = Annotated[str, Field(max_length=1024, pattern=r"^[\x20-\x7e]*$")]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class SecretHeader(_Declared):
    """A header whose value is in a file, as a Secret is mounted; read at every call, so that it can be rotated. A
    relative path begins at the folder of the declaring file (`FOLDER` of the validation's context)."""

    file: Path
    prefix: str = ""

    @field_validator("file")
    @classmethod
    def _is_found_beside_its_declaration(cls, file: Path, info: ValidationInfo) -> Path:
        return Path((info.context or {}).get(FOLDER, ".")) / file


class HttpTool(_Declared):
    name: Name
    description: str = Field(min_length=1, max_length=2000)
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: str = Field(max_length=4096, pattern=r"^[\x21-\x7e]+$")  # `{name}` in path and query stands for an argument
    headers: dict[str, HeaderValue] = Field(default_factory=dict)
    secret_headers: dict[str, SecretHeader] = Field(default_factory=dict)
    timeout: float = Field(default=10, gt=0, le=300, allow_inf_nan=False)  # seconds
    max_response_bytes: int = Field(default=256 * 1024, ge=1, le=4 * 1024 * 1024)
    max_calls_per_run: int = Field(default=100, ge=1)
    allow_private_addresses: bool = False  # of its host: cluster services, loopback; never link-local ones

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in RESERVED_NAMES or keyword.iskeyword(name) or hasattr(builtins, name):
            raise ValueError(f"the name {name!r} is taken: by the REPL or by Python; choose another")
        return name

    @field_validator("parameters")
    @classmethod
    def _describe_an_object(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        """Arguments that are not declared are refused, unless the schema says otherwise."""
        if parameters.get("type") != "object" or not isinstance(parameters.get("properties", {}), dict):
            raise ValueError("parameters are a JSON schema of type object, with properties")
        return {"additionalProperties": False, **parameters}

    @field_validator("headers", "secret_headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, Any]) -> dict[str, Any]:
        for name in headers:
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _HOP_HEADERS:
                raise ValueError(f"{name!r} is no header that a tool may set")
        return headers

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        parts = self.address
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"the url of {self.name} is no https:// address with a host")
        if parts.username is not None or parts.fragment:
            raise ValueError(f"the url of {self.name} may hold neither a user nor a fragment; keys go to secretHeaders")
        if "{" in parts.netloc or "}" in parts.netloc:
            raise ValueError(f"the host of {self.name} is fixed; arguments go into path, query or body")
        if re.search("[{}]", PLACEHOLDER.sub("", self.url)):
            raise ValueError(f"the url of {self.name} has braces that are no {{name}}; write them as %7B and %7D")
        if parts.scheme == "http" and not self.allow_private_addresses:
            raise ValueError(
                f"the url of {self.name} is not encrypted: use https, or allowPrivateAddresses for your own services"
            )
        if is_refused_literal(parts.hostname, allow_private=self.allow_private_addresses):
            raise ValueError(f"the host of {self.name} is no address that may be called; see allowPrivateAddresses")
        if unknown := self.placeholders - set(self.parameters.get("properties", {})):
            raise ValueError(f"the url of {self.name} names no parameters: {', '.join(sorted(unknown))}")
        return self

    @property
    def address(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """`name:port`, as the allow-list has it, the port left out where it is the scheme's own."""
        hostname, port = self.address.hostname or "", self.address.port
        return hostname if port in {None, _DEFAULT_PORTS[self.address.scheme]} else f"{hostname}:{port}"

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset(PLACEHOLDER.findall(self.url))


class ToolFile(_Declared):
    allowed_hosts: list[str]
    tools: list[HttpTool] = Field(max_length=MAX_TOOLS)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        names = [tool.name for tool in self.tools]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"declared twice: {', '.join(twice)}")
        allowed = {host.lower() for host in self.allowed_hosts}
        if outside := sorted({tool.host for tool in self.tools} - allowed):
            raise ValueError(f"not in allowedHosts: {', '.join(outside)}")
        return self
