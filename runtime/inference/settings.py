"""What the inference plane reads from its environment; the table in docs/design/0001 is its contract.

Loaded by `__main__` (and by `runtime.client.RLM_REPL`); everything else gets typed values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from runtime.inference.budget import Limits
from runtime.inference.key_limits import KeyLimits, LimitsByKey, parse_key_limits
from runtime.inference.model_settings import ModelSettings
from runtime.inference.prices import Price, parse_prices
from runtime.inference.sandbox_servers import split_urls
from runtime.redaction import redact

DEFAULT_MAX_BODY_BYTES: Final = 256 * 1024 * 1024
"""A folder of 64 MiB grows when it becomes JSON (line ends and quotes are escaped; non-ASCII up to threefold), and a
session's default memory is 256 MiB, so nothing larger could be held anyway."""

STORAGE_SCHEMES: Final = ("file://", "s3://", "gs://", "az://")
DEFAULT_STORAGE_BYTES: Final = 512 * 1024 * 1024
"""With one upload of the largest size in progress, that fits a pod's scratch folder of 1 GiB."""
DEFAULT_RUN_BYTES: Final = 128 * 1024 * 1024


class InferenceSettings(ModelSettings):
    """The inference plane: answers questions over contexts of any length, with code that runs in the sandbox plane."""

    model_config = SettingsConfigDict(
        env_prefix="RLM_", extra="ignore", env_ignore_empty=True, populate_by_name=True, protected_namespaces=()
    )

    model_name: str = Field(description="root model")
    model_base_url: str = Field(description="OpenAI-compatible endpoint of the root model, such as http://host/v1")
    model_api_key_file: Path | None = Field(None, description="file with its key; unset: no key is sent")
    sub_model_name: str | None = Field(None, description="model of llm_query; unset: the root model")
    sub_model_base_url: str | None = Field(None, description="endpoint of the sub-model; unset: the root model's")
    sub_model_api_key_file: Path | None = Field(
        None, description="file with its key; unset: the root model's, when the endpoint is the root model's"
    )
    served_model_name: str | None = Field(None, description="id in /v1/models; unset: the root model's name")
    allowed_models: str | None = Field(None, description="further models for llm_query(model=...), comma-separated")
    max_iterations: int = Field(30, ge=1, description="root model turns per run")
    max_subcalls: int = Field(1000, ge=0, description="model calls per run besides its own turns, children included")
    max_depth: int = Field(1, ge=0, le=10, description="levels of child runs below a run; 0: rlm_query is llm_query")
    max_child_runs: int = Field(16, ge=1, description="child runs at a time per level and process, each with a session")
    max_tokens: int | None = Field(None, ge=1, description="tokens per run, children included; unset: no limit")
    max_cost: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="USD per run by the price table; unset: no limit"
    )
    prices: Annotated[dict[str, Price], NoDecode] = Field(
        {}, validate_default=True, description='USD per million tokens: {"model": {"input": 1.25, "output": 10}}'
    )
    reuse_answers: bool = Field(True, description="ask identical sub-calls of a run once")
    direct_below_tokens: int = Field(0, ge=0, description="inputs below go to the model without a session; 0: none do")
    compact_above_tokens: int | None = Field(
        None,
        ge=0,
        description="a root history beyond it is replaced by the model's own summary; 0: never; unset: three quarters "
        "of RLM_MODEL_CONTEXT_WINDOW, if that is set",
    )
    timeout_seconds: float = Field(3600, gt=0, allow_inf_nan=False, description="wall time per run")
    max_concurrency: int = Field(64, ge=1, description="LLM calls in flight per process")
    max_consecutive_errors: int = Field(5, ge=1, description="cells or replies in error in a row that end a run")
    max_body_bytes: int = Field(DEFAULT_MAX_BODY_BYTES, ge=1024, description="largest request body")
    key_requests_per_minute: int | None = Field(
        None, ge=1, description="requests that one key may begin a minute; unset: no limit"
    )
    key_concurrent_runs: int | None = Field(
        None, ge=1, description="runs that one key may have in progress; unset: no limit"
    )
    key_file_bytes: int | None = Field(
        None, ge=0, description="uploaded files of one key; unset: as much as there is for all"
    )
    key_limits: Annotated[dict[str, KeyLimits], NoDecode] = Field(
        {},
        description='exceptions by the name of the key: {"alice": {"requests_per_minute": 600, '
        '"concurrent_runs": 20, "file_bytes": null}}; what is not named is as for every key, null is no limit',
    )
    storage_url: str | None = Field(
        None,
        description="where files and runs are kept: file:///folder, s3://bucket/prefix, gs://bucket/prefix or "
        "az://container/prefix; unset: a folder of this process, which ends with it",
    )
    storage_config_dir: Path | None = Field(
        None, description="folder with one file per option of the store, such as aws_access_key_id or aws_endpoint"
    )
    storage_endpoint: str | None = Field(
        None, description="address of an S3-compatible store, such as http://minio:9000; unset: the provider's"
    )
    storage_max_bytes: int = Field(DEFAULT_STORAGE_BYTES, ge=1, description="uploaded files, of all keys together")
    storage_retention_seconds: float = Field(
        604_800, gt=0, allow_inf_nan=False, description="files and runs are deleted after this"
    )
    recovery_seconds: float = Field(
        60, ge=0, allow_inf_nan=False, description="a run whose sandbox server is lost looks for another this long"
    )
    sandbox_start_timeout_seconds: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="a run waits so long for a pool without pods, and the service is ready without one; 0: 503 at once",
    )
    store_runs: bool = Field(
        True, description="keep finished runs with their trajectories; false: they are there for a minute"
    )
    storage_run_bytes: int = Field(
        DEFAULT_RUN_BYTES, ge=1, description="stored runs of all keys together; beyond it the oldest are deleted"
    )
    admin_keys: str | None = Field(
        None, description="names of keys that see the runs of all keys, comma-separated; unset: every key sees its own"
    )
    tools_file: Path | None = Field(None, description="YAML or JSON file that declares tools; unset: none")
    peers_url: str | None = Field(
        None,
        description="the replicas of this service, by a name that stands for all of them or comma-separated, this one "
        "included; needed where they share no storage; unset: there are no others",
    )
    wasm_service_url: str = Field(
        "http://wasm-repl-service:8000",
        validation_alias=AliasChoices("wasm_service_url", "WASM_SERVICE_URL"),
        description="the sandbox pool, or its servers, comma-separated",
    )
    wasm_api_key_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("wasm_api_key_file", "WASM_API_KEY_FILE"),
        description="file with the sandbox pool's key; unset: no key is sent",
    )
    wasm_tls_dir: Path | None = Field(
        None,
        validation_alias=AliasChoices("wasm_tls_dir", "WASM_TLS_DIR"),
        description="folder of the pool's ca.crt and, if it asks for client certificates, tls.crt and tls.key",
    )

    @field_validator("wasm_service_url", "peers_url")
    @classmethod
    def _are_http_urls(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        urls = split_urls(value)
        if not urls:
            raise ValueError("it names no address")
        if any(urlsplit(url).username is not None for url in urls):
            named = {"wasm_service_url": "the pool's key belongs into WASM_API_KEY_FILE"}
            secret = named.get(info.field_name or "", "replicas are asked with the caller's own key")
            raise ValueError(f"an address holds a user's name; {secret}")
        return ",".join(filter(None, map(cls._is_http_url, urls)))

    @field_validator(
        "model_base_url",
        "sub_model_base_url",
        "otlp_endpoint",
        "otel_exporter_otlp_endpoint",
        "otel_exporter_otlp_traces_endpoint",
        "storage_endpoint",
    )
    @classmethod
    def _is_http_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"{redact(value)!r} is not an http:// or https:// address")
        return value.rstrip("/") if value else value

    @field_validator("prices", mode="before")
    @classmethod
    def _parse_prices(cls, value: object) -> object:
        return parse_prices(value) if isinstance(value, str) else value

    @field_validator("key_limits", mode="before")
    @classmethod
    def _parse_key_limits(cls, value: object) -> object:
        return parse_key_limits(value) if isinstance(value, str) else value

    @field_validator("prices")
    @classmethod
    def _has_every_price_or_none(cls, prices: dict[str, Price], info: ValidationInfo) -> dict[str, Price]:
        """A model without a price would spend nothing of `max_cost`, which callers may set too."""
        named = [info.data.get("model_name"), info.data.get("sub_model_name"), *_split(info.data.get("allowed_models"))]
        missing = sorted({name for name in named if name} - set(prices))
        if missing and (prices or info.data.get("max_cost") is not None):
            raise ValueError(f"cost is counted when every model has a price; add {', '.join(missing)}")
        return prices

    @field_validator("storage_url")
    @classmethod
    def _is_storage_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(STORAGE_SCHEMES):
            raise ValueError(f"{redact(value)!r} does not begin with one of {', '.join(STORAGE_SCHEMES)}")
        return value

    @property
    def served_model(self) -> str:
        return self.served_model_name or self.model_name

    @property
    def sub_model(self) -> str:
        return self.sub_model_name or self.model_name

    @property
    def sub_models(self) -> frozenset[str]:
        """Every model that code may name in `llm_query(model=...)`."""
        return frozenset({self.model_name, self.sub_model, *_split(self.allowed_models)})

    @property
    def compact_above(self) -> int:
        """Tokens; 0: never."""
        if self.compact_above_tokens is None:
            return (self.model_context_window or 0) * 3 // 4
        return self.compact_above_tokens

    @property
    def sub_window(self) -> int | None:
        """Tokens that the model of `llm_query` takes at once, if that is known."""
        if self.sub_model == self.model_name:
            return self.sub_model_context_window or self.model_context_window
        return self.sub_model_context_window

    @property
    def admins(self) -> frozenset[str]:
        return frozenset(_split(self.admin_keys))

    @property
    def limits(self) -> Limits:
        return Limits(
            max_iterations=self.max_iterations,
            max_subcalls=self.max_subcalls,
            timeout=self.timeout_seconds,
            max_consecutive_errors=self.max_consecutive_errors,
            max_depth=self.max_depth,
            max_tokens=self.max_tokens,
            max_cost=self.max_cost,
            reuse_answers=self.reuse_answers,
            prices=self.prices,
        )

    @property
    def limits_by_key(self) -> LimitsByKey:
        every = KeyLimits(
            requests_per_minute=self.key_requests_per_minute,
            concurrent_runs=self.key_concurrent_runs,
            file_bytes=self.key_file_bytes,
        )
        return LimitsByKey(every, self.key_limits)


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]
