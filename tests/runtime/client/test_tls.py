"""RemoteREPLEnv and RLM_REPL with a sandbox that asks for client certificates."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from runtime.client import RLM_REPL, RemoteREPLEnv
from runtime.inference.errors import SandboxUnavailableError
from tests.locked_environment import install_environment
from tests.runtime.certificates import contents, issue, mount
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox
from tests.runtime.inference.scripted_model import ScriptedModel


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secured(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    folder = tmp_path_factory.mktemp("secured")
    theirs = mount(folder / "tls", contents(issue(authority), authority))
    with run_sandbox(folder, SANDBOX_TLS_DIR=str(theirs), SANDBOX_METRICS_PORT="0") as process:
        yield process


@pytest.fixture
def ours(authority: trustme.CA, tmp_path: Path) -> Path:
    return mount(tmp_path / "ours", contents(issue(authority, "researcher"), authority))


def test_code_runs_with_the_certificate_of_an_argument_and_of_the_environment(
    secured: SandboxProcess, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RemoteREPLEnv(secured.url, api_key_file=secured.key_file, tls_dir=ours) as repl:
        assert repl.code_execution("print(6 * 7)").stdout == "42\n"
    monkeypatch.setenv("WASM_TLS_DIR", str(ours))
    with RemoteREPLEnv(secured.url, api_key_file=secured.key_file) as repl:
        assert repl.code_execution("print(6 * 7)").stdout == "42\n"


def test_a_whole_run_uses_the_certificate_of_the_environment(
    secured: SandboxProcess, ours: Path, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "RLM_MODEL_NAME": "root-model",
        "RLM_MODEL_BASE_URL": model.base_url,
        "WASM_SERVICE_URL": secured.url,
        "WASM_API_KEY_FILE": str(secured.key_file),
        "WASM_TLS_DIR": str(ours),
    }.items():
        monkeypatch.setenv(name, value)
    model.enqueue("```repl\nFINAL(len(context))\n```")
    assert RLM_REPL().completion("abc", "How long?") == "3"


def test_without_a_folder_a_private_authority_is_not_trusted(secured: SandboxProcess) -> None:
    with (
        RemoteREPLEnv(secured.url, api_key_file=secured.key_file) as repl,
        pytest.raises(SandboxUnavailableError, match=r"not trusted: .*; check ca\.crt in WASM_TLS_DIR"),
    ):
        repl.code_execution("1")


def test_a_folder_without_certificates_is_an_error_before_anything_is_sent(
    secured: SandboxProcess, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"WASM_TLS_DIR: .*: neither ca\.crt nor tls\.crt is there"):
        RemoteREPLEnv(secured.url, tls_dir=tmp_path)


def test_adapters_use_the_certificate_of_the_environment_too(secured: SandboxProcess, ours: Path) -> None:
    code = (
        "from runtime.client import SandboxInterpreter, SandboxREPL\n"
        "with SandboxREPL(context_payload='a') as repl, SandboxInterpreter() as interpreter:\n"
        "    print(repl.execute_code('print(context)').stdout + interpreter('6 * 7', {'b': 1}).__str__())\n"
    )
    access = {"WASM_SERVICE_URL": secured.url, "WASM_API_KEY_FILE": str(secured.key_file), "WASM_TLS_DIR": str(ours)}
    ran = subprocess.run(
        [install_environment("adapters") / "bin" / "python", "-c", code],
        env={**os.environ, **access, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.stdout == "a\n42\n", ran.stderr
