"""Settings that every service has, and how a service reads its own from the environment.

Each service subclasses `ServiceSettings` with its own prefix; `load_settings` is called by its `__main__` and turns a
wrong value into one line that names the variable.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import AliasChoices, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

USAGE_ERROR = 2


class ServiceSettings(BaseSettings):
    """Listening address, authentication and logging."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port of the API; 0 takes a free one")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="port of /healthz /readyz /metrics /version; unset: the API's port"
    )
    auth_mode: Literal["APIKey", "Disabled"] = Field("APIKey", description="APIKey or Disabled")
    api_keys_dir: Path | None = Field(None, description="folder of bearer keys, one file per named key")
    tls_dir: Path | None = Field(
        None, description="folder of tls.crt, tls.key and, if clients need certificates, ca.crt; unset: plain HTTP"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias=AliasChoices("log_level", "LOG_LEVEL"), description="DEBUG, INFO, WARNING or ERROR"
    )
    log_format: Literal["json", "text"] = Field(
        "json", validation_alias=AliasChoices("log_format", "LOG_FORMAT"), description="json or text"
    )


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def load_settings(settings_class: type[SettingsT], program: str, argv: list[str]) -> SettingsT:
    """Read the environment. `--help` prints every variable; a wrong one ends the process with status 2 and its name."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=f"{settings_class.__doc__}\n\nSettings, from the environment:\n\n{describe(settings_class)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    try:
        return settings_class()
    except ValidationError as error:
        _fail(settings_class, program, error)


def variable_name(settings_class: type[ServiceSettings], field: str) -> str:
    """The environment variable of a field: its own alias, else prefix + field name."""
    alias = settings_class.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[-1])
    return f"{settings_class.model_config.get('env_prefix', '')}{field}".upper()


def describe(settings_class: type[ServiceSettings]) -> str:
    """One line per variable: name, default, meaning."""
    rows = [
        (variable_name(settings_class, name), _default(info), info.description or "")
        for name, info in settings_class.model_fields.items()
    ]
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(f"  {name:<{width}}  {meaning}{default}" for name, default, meaning in rows)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return " (required)"
    default: Any = info.get_default(call_default_factory=True, validated_data={})
    return "" if default is None else f" (default: {default})"


def _fail(settings_class: type[ServiceSettings], program: str, error: ValidationError) -> NoReturn:
    for problem in error.errors():
        field = str(problem["loc"][0]) if problem["loc"] else ""
        name = variable_name(settings_class, field) if field in settings_class.model_fields else field
        reason = problem["msg"].removeprefix("Value error, ")  # pydantic's, before a validator's own words
        sys.stderr.write(f"{program}: {name or 'settings'}: {reason}; see python -m {program} --help\n")
    sys.exit(USAGE_ERROR)
