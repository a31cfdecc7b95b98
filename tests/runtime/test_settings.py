"""How a service's settings are named, described and refused."""

from __future__ import annotations

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from runtime.settings import ServiceSettings, describe, load_settings, variable_name


class ExampleSettings(ServiceSettings):
    """An example."""

    model_config = SettingsConfigDict(env_prefix="EXAMPLE_", extra="ignore", env_ignore_empty=True)

    size: int = Field(3, ge=1, description="how large")


def test_variables_have_the_services_prefix_but_logging_is_shared() -> None:
    assert variable_name(ExampleSettings, "size") == "EXAMPLE_SIZE"
    assert variable_name(ExampleSettings, "log_level") == "LOG_LEVEL"


def test_the_description_has_one_line_per_variable() -> None:
    lines = describe(ExampleSettings).splitlines()
    assert len(lines) == len(ExampleSettings.model_fields)
    assert any("EXAMPLE_SIZE" in line and line.endswith("how large (default: 3)") for line in lines)


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_SIZE", "7")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings = load_settings(ExampleSettings, "example", [])
    assert (settings.size, settings.log_level) == (7, "DEBUG")


def test_each_wrong_variable_is_named_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EXAMPLE_SIZE", "0")
    monkeypatch.setenv("LOG_FORMAT", "xml")
    with pytest.raises(SystemExit) as ended:
        load_settings(ExampleSettings, "example", [])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert any("EXAMPLE_SIZE" in line for line in lines)
    assert any("LOG_FORMAT" in line for line in lines)


def test_help_names_every_variable_and_ends_with_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load_settings(ExampleSettings, "example", ["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(variable_name(ExampleSettings, field) in printed for field in ExampleSettings.model_fields)
