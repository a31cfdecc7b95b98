"""Settings of the sandbox service from the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from runtime.sandbox.memory_meter import find_meter
from runtime.sandbox.settings import SandboxSettings
from runtime.settings import variable_name
from tests.runtime.certificates import contents, issue, mount

DOCUMENTED = {
    "SANDBOX_HOST",
    "SANDBOX_PORT",
    "SANDBOX_METRICS_PORT",
    "SANDBOX_AUTH_MODE",
    "SANDBOX_API_KEYS_DIR",
    "SANDBOX_TLS_DIR",
    "SANDBOX_IMAGE",
    "SANDBOX_GUEST_DIR",
    "SANDBOX_TIMEOUT_SECONDS",
    "SANDBOX_MEMORY_BYTES",
    "SANDBOX_CPU_SHARES",
    "SANDBOX_OUTPUT_BYTES",
    "SANDBOX_MAX_SESSIONS",
    "SANDBOX_MAX_CONCURRENT_EXECUTIONS",
    "SANDBOX_MAX_QUEUE",
    "SANDBOX_QUEUE_TIMEOUT_SECONDS",
    "SANDBOX_SPARES",
    "SANDBOX_IDLE_TIMEOUT_SECONDS",
    "SANDBOX_SUSPEND_TIMEOUT_SECONDS",
    "LOG_LEVEL",
    "LOG_FORMAT",
}


def run_service(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_")}
    return subprocess.run(
        [sys.executable, "-m", "runtime.sandbox", *arguments],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_every_variable_with_default_and_meaning() -> None:
    done = run_service("--help")
    assert done.returncode == 0
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line.split()}
    assert listed >= {variable_name(SandboxSettings, field) for field in SandboxSettings.model_fields} >= DOCUMENTED
    assert "SANDBOX_TIMEOUT_SECONDS" in done.stdout
    assert "(default: 30.0)" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SANDBOX_PORT", "seventy"),
        ("SANDBOX_PORT", "70000"),
        ("SANDBOX_AUTH_MODE", "None"),
        ("SANDBOX_IMAGE", "unknown"),
        ("SANDBOX_TIMEOUT_SECONDS", "nan"),
        ("SANDBOX_TIMEOUT_SECONDS", "-1"),
        ("SANDBOX_MEMORY_BYTES", "1000"),
        ("SANDBOX_CPU_SHARES", "0"),
        ("SANDBOX_MAX_SESSIONS", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_ends_the_service_with_status_2_and_one_line_that_names_the_variable(
    variable: str, value: str
) -> None:
    done = run_service(**{variable: value})
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert variable in done.stderr


def test_an_unset_or_empty_key_folder_ends_the_service_with_status_2(tmp_path: Path) -> None:
    for variables in ({}, {"SANDBOX_API_KEYS_DIR": str(tmp_path)}, {"SANDBOX_API_KEYS_DIR": str(tmp_path / "absent")}):
        done = run_service(**variables)
        assert done.returncode == 2
        assert "SANDBOX_API_KEYS_DIR" in done.stderr


def test_certificates_that_cannot_be_used_end_the_service_with_status_2_and_one_line(tmp_path: Path) -> None:
    folder = mount(tmp_path / "tls", {**contents(issue(trustme.CA())), "ca.crt": b""})
    done = run_service(SANDBOX_AUTH_MODE="Disabled", SANDBOX_TLS_DIR=str(folder))
    said = f"runtime.sandbox: SANDBOX_TLS_DIR: {folder}: ca.crt holds no certificate in PEM form, or a broken one\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_METRICS_PORT", "")
    monkeypatch.setenv("SANDBOX_MAX_SESSIONS", "")
    settings = SandboxSettings()
    assert (settings.metrics_port, settings.max_sessions) == (None, None)


def test_variables_of_others_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_PORT", "1234")
    monkeypatch.setenv("PORT", "1234")
    assert SandboxSettings().port == 8000


def test_a_scientific_session_is_reckoned_larger_than_one_of_the_standard_library() -> None:
    assert SandboxSettings(image="scientific").session_cap() < SandboxSettings(image="stdlib").session_cap()


def test_the_session_cap_follows_from_the_memory_limit_unless_it_is_set() -> None:
    assert SandboxSettings(max_sessions=7).session_cap() == 7
    assert 1 <= SandboxSettings().session_cap() < find_meter().limit // (8 << 20)


def test_slots_follow_from_the_processors_unless_they_are_set() -> None:
    assert SandboxSettings(max_concurrent_executions=3).slots() == 3
    assert SandboxSettings().slots() >= 8
