"""`rlmctl ask` against the real planes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ports import closed_port
from tests.rlmctl.dev_process import DevProcess, run_rlmctl


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.py").write_text("class A: pass\nclass B: pass\n")
    (tmp_path / "sub" / "two.py").write_text("class C: pass\n# The magic number for [bold]fox[/bold] is 12.\n")
    (tmp_path / "image.bin").write_bytes(b"\0\1")
    return tmp_path


def test_answer_over_a_folder_comes_as_one_json_object(dev: DevProcess, folder: Path) -> None:
    asked = dev.ask("Across all files, how many classes are defined?", "--context", str(folder), "--json")
    assert asked.returncode == 0, asked.stderr
    outcome = json.loads(asked.stdout)
    assert outcome["answer"] == "3 classes are defined. Most of them in one file: one.py (2)."
    assert outcome["model"] == "scripted-demo"
    assert outcome["iterations"] == 4
    assert outcome["sub_calls"] == 2
    usage = outcome["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert outcome["duration_s"] > 0
    assert "2 files" in asked.stderr
    assert "1 file left out: no text" in asked.stderr


def test_trajectory_is_shown_and_the_stand_in_s_answer_labelled(dev: DevProcess, folder: Path) -> None:
    asked = dev.ask("How many classes are defined?", "-c", str(folder))
    assert asked.returncode == 0, asked.stderr
    for part in ("turn 1", "turn 4", "code in the sandbox", "llm_query_batched", "1 sub-call to scripted-demo"):
        assert part in asked.stdout
    assert "answer by scripted-demo, a scripted stand-in without intelligence" in asked.stdout
    assert "3 classes are defined." in asked.stdout


def test_markup_in_a_file_is_text(dev: DevProcess, folder: Path) -> None:
    asked = dev.ask('What is the magic number for "[bold]fox[/bold]"?', "-c", str(folder), "--include", "*.py")
    assert asked.returncode == 0, asked.stderr
    assert "magic number for [bold]fox[/bold] is 12" in asked.stdout


def test_endpoint_and_key_of_the_environment_are_used(dev: DevProcess, folder: Path, tmp_path: Path) -> None:
    info = dev.info()
    environment = {**dev.environment, "XDG_RUNTIME_DIR": str(tmp_path / "empty")}
    environment |= {"RLM_ENDPOINT": f"{info.endpoint}/v1", "RLM_API_KEY": str(info.api_key)}
    asked = run_rlmctl("ask", "How many files are there?", "-c", str(folder), "--json", environment=environment)
    assert json.loads(asked.stdout)["answer"] == "2"


def test_wrong_key_is_said_and_is_status_3(dev: DevProcess) -> None:
    asked = run_rlmctl("ask", "Why?", environment={**dev.environment, "RLM_API_KEY": "wrong"})
    assert asked.returncode == 3
    assert "401" in asked.stderr
    assert asked.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--context", "absent"], 2, "--context absent: there is no such file or folder"),
        (["--endpoint", "example.org"], 2, "write the whole address"),
    ],
)
def test_wrong_argument_is_said_and_has_its_status(
    dev: DevProcess, arguments: list[str], status: int, message: str
) -> None:
    asked = dev.ask("Why?", *arguments)
    assert asked.returncode == status
    assert message in asked.stderr
    assert asked.stdout == ""


def test_endpoint_that_nobody_listens_on_is_said_and_is_status_3(dev: DevProcess) -> None:
    with closed_port() as port:
        asked = dev.ask("Why?", "--endpoint", f"http://127.0.0.1:{port}")
    assert asked.returncode == 3
    assert "is it running?" in asked.stderr


def test_without_any_endpoint_it_is_said_what_to_start(dev: DevProcess, tmp_path: Path) -> None:
    asked = run_rlmctl("ask", "Why?", environment={**dev.environment, "XDG_RUNTIME_DIR": str(tmp_path)})
    assert asked.returncode == 3
    assert "rlmctl dev -f config/samples/quickstart.yaml" in asked.stderr


def test_help_lists_the_commands_and_exit_statuses(dev: DevProcess) -> None:
    shown = run_rlmctl("--help", environment=dev.environment).stdout
    for part in ("ask", "demo", "dev", "render", "Exit status"):
        assert part in shown
