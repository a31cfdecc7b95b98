"""From a manifest to processes: ports, addresses, mounted keys, and an environment without anything of the caller's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rlmctl.errors import InputError
from rlmctl.local.plan import Plan, build_plan
from tests.rlmctl.dev_process import QUICKSTART

CALLER = {"PATH": "/bin", "HOME": "/home/me", "LANG": "C.UTF-8", "AWS_SECRET_ACCESS_KEY": "leak", "PYTHONPATH": "/x"}

WITH_POOL = """
apiVersion: v1
kind: Secret
metadata: {name: llm}
stringData: {api-key: llm-key}
---
apiVersion: v1
kind: Secret
metadata: {name: users}
stringData: {alice: alice-key, bob: bob-key}
---
apiVersion: rlm-operator.dev/v1alpha1
kind: SandboxPool
metadata: {name: shared}
spec: {limits: {timeout: 60s}}
---
apiVersion: rlm-operator.dev/v1alpha1
kind: RLMStack
metadata: {name: answers}
spec:
  model: {name: m, baseURL: "https://llm.example.org/v1", apiKeySecretRef: {name: llm}}
  inference: {auth: {secretRef: {name: users}}, servedModelName: answers}
  sandboxPoolRef: {name: shared}
  rlm: {maxIterations: 7}
"""


def plan_text(folder: Path, text: str, environment: dict[str, str]) -> Plan:
    file = folder / "stack.yaml"
    file.write_text(text)
    return build_plan([file], environment, folder / "private")


def test_quickstart_without_a_key_runs_the_stand_in_and_both_planes(tmp_path: Path) -> None:
    plan = build_plan([QUICKSTART], CALLER, tmp_path)
    model, sandbox, inference = plan.processes
    assert [process.name for process in plan.processes] == ["model", "sandbox", "inference"]
    assert sandbox.command == [sys.executable, "-m", "runtime.sandbox"]
    assert inference.command == [sys.executable, "-m", "runtime.inference"]
    assert inference.environment["RLM_MODEL_NAME"] == "scripted-demo"
    assert inference.environment["RLM_MODEL_BASE_URL"] == plan.info.model_url
    assert model.command[-1] in plan.info.model_url
    assert plan.notes == [
        "sandbox: 2 replicas in a cluster, one process here",
        "inference: 2 replicas in a cluster, one process here",
    ]


def test_ports_and_addresses_are_those_of_this_machine(tmp_path: Path) -> None:
    plan = build_plan([QUICKSTART], CALLER, tmp_path)
    _, sandbox, inference = (process.environment for process in plan.processes)
    assert sandbox["SANDBOX_HOST"] == inference["RLM_HOST"] == "127.0.0.1"
    assert plan.info.sandbox_url == f"http://127.0.0.1:{sandbox['SANDBOX_PORT']}" == inference["WASM_SERVICE_URL"]
    assert plan.info.endpoint == f"http://127.0.0.1:{inference['RLM_PORT']}"
    ports = [env[name] for env in (sandbox, inference) for name in env if name.endswith("_PORT")]
    assert len(set(ports)) == 4
    assert plan.processes[1].ready_url == f"http://127.0.0.1:{sandbox['SANDBOX_METRICS_PORT']}/readyz"


def test_only_what_every_program_needs_is_taken_from_the_caller(tmp_path: Path) -> None:
    for process in build_plan([QUICKSTART], CALLER, tmp_path).processes:
        assert "leak" not in process.environment.values()
        assert "PYTHONPATH" not in process.environment
        assert process.environment["PATH"] == "/bin"


def test_keys_are_files_and_stand_in_no_environment_or_argument(tmp_path: Path) -> None:
    plan = plan_text(tmp_path, WITH_POOL, CALLER)
    sandbox, inference = plan.processes
    keys = ["llm-key", "alice-key", "bob-key", str(plan.info.sandbox_key)]
    for process in plan.processes:
        assert not any(key in text for key in keys for text in [*process.command, *process.environment.values()])
    env = inference.environment
    assert Path(env["RLM_MODEL_API_KEY_FILE"]).read_text() == "llm-key"
    assert sorted(file.name for file in Path(env["RLM_API_KEYS_DIR"]).iterdir()) == ["alice", "bob"]
    accepted = Path(sandbox.environment["SANDBOX_API_KEYS_DIR"])
    of_sandbox = {file.name: file.read_text() for file in accepted.iterdir()}
    of_stack = Path(env["WASM_API_KEY_FILE"]).read_text()
    assert of_sandbox == {"api-key": plan.info.sandbox_key, "rlmstack.default.answers": of_stack}
    assert plan.info.api_key == "alice-key"


def test_settings_of_the_manifest_reach_the_processes(tmp_path: Path) -> None:
    plan = plan_text(tmp_path, WITH_POOL, CALLER)
    sandbox, inference = plan.processes
    assert sandbox.environment["SANDBOX_TIMEOUT_SECONDS"] == "60"
    assert inference.environment["RLM_MAX_ITERATIONS"] == "7"
    assert plan.served_model == "answers"


def test_key_of_the_environment_is_a_file_of_the_inference_plane_alone(tmp_path: Path) -> None:
    plan = build_plan([QUICKSTART], {**CALLER, "OPENAI_API_KEY": "sk-mine"}, tmp_path)
    sandbox, inference = plan.processes
    assert Path(inference.environment["RLM_MODEL_API_KEY_FILE"]).read_text() == "sk-mine"
    assert not any("sk-mine" in text for process in plan.processes for text in process.environment.values())
    folder = tmp_path / "sandbox"
    assert "sk-mine" not in [file.read_text() for file in folder.rglob("*") if file.is_file()]
    assert "MODEL" not in " ".join(sandbox.environment)


def test_scratch_folder_of_each_process_is_its_own(tmp_path: Path) -> None:
    _, sandbox, inference = build_plan([QUICKSTART], CALLER, tmp_path).processes
    folders = {process.environment["TMPDIR"] for process in (sandbox, inference)}
    assert len(folders) == 2
    assert all(Path(folder).is_dir() and tmp_path in Path(folder).parents for folder in folders)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: ConfigMap\napiVersion: v1\n", "one RLMStack is run at a time and the files hold 0"),
        (WITH_POOL + "---\n" + WITH_POOL.rsplit("---", 1)[1], "the files hold 2"),
        (WITH_POOL.replace("name: shared}\nspec", "name: other}\nspec"), "refers to SandboxPool shared"),
        (WITH_POOL.replace("maxIterations: 7", "maxIterations: 0"), "spec.rlm.maxIterations"),
        ("{", "is not YAML"),
    ],
)
def test_file_that_cannot_be_run_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_text(tmp_path, text, CALLER)


def test_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent\.yaml"):
        build_plan([tmp_path / "absent.yaml"], CALLER, tmp_path)
