"""The scripts of docs/examples, each as a user runs it, against the stack of `rlmctl dev`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.locked_environment import install_environment
from tests.rlmctl.dev_process import ROOT, DevProcess
from tests.runtime.client.threaded_model import run_scripted_model
from tests.runtime.inference.scripted_model import ScriptedModel

EXAMPLES = ROOT / "docs/examples"


@pytest.fixture(scope="module")
def settings(dev: DevProcess) -> dict[str, str]:
    """What the README's line puts into the shell's environment."""
    script = f'eval "$({sys.executable} docs/examples/settings.py)" && env -0'
    ran = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=dev.environment, capture_output=True, text=True, check=True, timeout=60
    )
    return dict(line.split("=", 1) for line in ran.stdout.split("\0") if line)


def run_example(name: str, settings: dict[str, str], python: Path | str = sys.executable) -> list[str]:
    """The lines that it printed."""
    ran = subprocess.run(
        [python, EXAMPLES / name],
        cwd=ROOT,
        env={**settings, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.splitlines()


def run_with_model(name: str, settings: dict[str, str], model: ScriptedModel) -> list[str]:
    """Where `rlms` and dspy are installed, with a model that they bring."""
    python = install_environment("adapters") / "bin" / "python"
    given = {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "test", "OPENAI_MODEL": "root-model"}
    return run_example(name, settings | given, python)


def test_remote_repl_example(settings: dict[str, str]) -> None:
    printed = run_example("remote_repl.py", settings)
    assert printed[:3] == ["8 words", "longest: definition", "ZeroDivisionError: division by zero"]
    assert printed[3].startswith("timeout: ")
    assert printed[3].endswith("; variables are as they were before it")
    assert printed[4] == "kept"


def test_rlm_repl_example(settings: dict[str, str]) -> None:
    printed = run_example("rlm_repl.py", settings)
    assert printed[0] == "7261940"
    assert re.fullmatch(r"\d+ turns, \d+ sub-calls over 600,043 characters", printed[1])


def test_openai_sdk_example(settings: dict[str, str]) -> None:
    printed = run_example("openai_sdk.py", settings)
    assert re.fullmatch(r"7261940 \([\d,]+ tokens for 600,043 characters\)", printed[0])
    assert printed[1:] == ["7261940", "completed 7261940"]


def test_rlms_example(settings: dict[str, str]) -> None:
    repl = "```repl\n{}\n```".format
    with run_scripted_model() as model:
        model.enqueue(
            repl("print(context[:30], context.count('order'))"),
            repl(
                "total = context.count('order') * (2 * price_of('apple') + price_of('pear'))\n"
                "answer['content'] = llm_query(f'{total:.2f} euros')\nanswer['ready'] = True"
            ),
            repl("answer.update(content=f'{total * 100:.0f} cents', ready='cents' in context_1)"),
        )
        printed = run_with_model("rlms_run.py", settings, model)
    assert printed[:2] == ["re: 1700.00 euros", "170000 cents"]
    assert printed[2] == "{'root-model': {'total_calls': 1, 'total_input_tokens': 10, 'total_output_tokens': 3}}"


def test_dspy_example(settings: dict[str, str]) -> None:
    turn = "[[ ## reasoning ## ]]\nNext.\n\n[[ ## code ## ]]\n```python\n{}\n```\n\n[[ ## completed ## ]]".format
    with run_scripted_model() as model:
        model.enqueue(
            turn("print(len(notes), notes[0])"),
            turn("SUBMIT(llm_query('Bern, Basel'), population('Bern') + population(city='Basel'))"),
        )
        printed = run_with_model("dspy_rlm.py", settings, model)
    assert printed == ["re: Bern, Basel 311000", "2 turns"]


def test_every_example_is_in_the_readme_and_has_a_test() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert scripts - {"settings.py"} == set(re.findall(r"^\| \[(\w+\.py)\]\(\1\)", readme, re.MULTILINE))
    assert all(f'"{script}"' in Path(__file__).read_text(encoding="utf-8") for script in scripts - {"settings.py"})
    assert os.access(EXAMPLES / "settings.py", os.R_OK)
