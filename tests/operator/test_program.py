"""`python -m rlm_operator` and `rlmctl render` as programs: help, wrong settings, and no cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from rlm_operator.errors import SpecInvalidError
from rlm_operator.kinds import OPTIONAL_CHILD_KINDS
from rlmctl.errors import InputError
from rlmctl.render import OptionalKind, load_documents, render_command, render_documents
from tests.operator.specs import REPOSITORY

QUICKSTART = REPOSITORY / "config" / "samples" / "quickstart.yaml"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rlm_operator", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_help_lists_every_option() -> None:
    printed = run("--help")
    assert printed.returncode == 0
    for option in (
        "--kubeconfig",
        "--namespaces",
        "--inference-image",
        "--sandbox-image",
        "--sandbox-scientific-image",
    ):
        assert option in printed.stdout


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [(["--workers=0"], {}), ([], {"RLM_OPERATOR_WORKERS": "none"})],
    ids=["as an option", "as a variable"],
)
def test_a_wrong_setting_ends_the_program_with_its_variables_name(
    arguments: list[str], variables: dict[str, str]
) -> None:
    ended = run(*arguments, **variables)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("RLM_OPERATOR_WORKERS: ")


def test_a_kubeconfig_that_is_not_there_ends_the_program_with_advice(tmp_path: Path) -> None:
    ended = run(f"--kubeconfig={tmp_path / 'none'}", "--log-format=text")
    assert ended.returncode == 1
    assert "check --kubeconfig" in ended.stderr


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(render_command)
    return app


def test_render_prints_yaml_that_reads_back_as_the_manifests(app: typer.Typer, tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["-f", str(QUICKSTART), "-n", "team"])
    assert printed.exit_code == 0
    again = tmp_path / "printed.yaml"
    again.write_text(printed.stdout)
    assert load_documents([again]) == render_documents([QUICKSTART], namespace="team")


def test_render_prints_objects_of_optional_kinds_that_the_cluster_is_said_to_serve(app: typer.Typer) -> None:
    def kinds(*options: str) -> set[str]:
        printed = CliRunner().invoke(app, ["-f", str(QUICKSTART), *options])
        return {document["kind"] for document in yaml.safe_load_all(printed.stdout)}

    served = ("PodMonitor", "PrometheusRule", "CiliumNetworkPolicy")
    assert kinds(*(f"--serve={kind}" for kind in served)) - kinds() == set(served)
    assert {*OptionalKind, "ScaledObject"} == set(OPTIONAL_CHILD_KINDS)


def test_render_refuses_a_kind_that_is_none_of_them(app: typer.Typer) -> None:
    printed = CliRunner().invoke(app, ["-f", str(QUICKSTART), "--serve=Widget"])
    assert printed.exit_code == 2
    assert "'PodMonitor'" in printed.stderr


def test_render_tells_what_is_wrong_with_a_spec(app: typer.Typer, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(QUICKSTART.read_text().replace("replicas: 2", "replica: 2"))
    printed = CliRunner().invoke(app, ["-f", str(wrong)])
    assert isinstance(printed.exception, InputError)  # the program prints it and ends with 2
    assert "unknown field" in str(printed.exception)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "not a Kubernetes object"),
        ("{apiVersion: v1, kind: Secret, metadata: {name: s}}", "no RLMStack or SandboxPool in"),
    ],
    ids=["no YAML", "no object", "another kind"],
)
def test_a_file_without_our_kinds_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(SpecInvalidError, match=message):
        render_documents([path])


def test_a_list_is_taken_apart_and_other_kinds_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(
        "{apiVersion: v1, kind: List, items: ["
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}, "
        "{apiVersion: rlm-operator.dev/v1alpha1, kind: SandboxPool, metadata: {name: p, namespace: n}}]}"
    )
    assert {child["metadata"]["namespace"] for child in render_documents([path])} == {"n"}
