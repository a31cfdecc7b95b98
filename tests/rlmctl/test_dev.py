"""`rlmctl dev` with the real planes: what it gives, what it keeps to itself, and how it ends."""

from __future__ import annotations

import functools
import os
import signal
import stat
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from tests.rlmctl.dev_process import DevProcess, is_gone, run_dev, run_rlmctl, wait_until
from tests.runtime.demo_model.standin import run_standin

CONTEXT = "grass\n" * 4000 + "The magic number for fox is 8412.\n" + "sky\n" * 4000
QUESTION: ChatCompletionUserMessageParam = {
    "role": "user",
    "content": [{"type": "text", "text": CONTEXT}, {"type": "text", "text": "What is the magic number for fox?"}],
}


def sdk(dev: DevProcess, key: str | None = None) -> OpenAI:
    info = dev.info()
    return OpenAI(base_url=f"{info.endpoint}/v1", api_key=key or info.api_key, max_retries=0)


def has_new_pid(dev: DevProcess, name: str, old: int) -> bool:
    return dev.info().pids.get(name, old) != old


def read_exposed(pid: int) -> bytes:
    """What other processes of the user may read of it."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # a spare session that ended meanwhile


def test_ready_file_is_private_and_names_every_process(dev: DevProcess) -> None:
    assert stat.S_IMODE(dev.ready_path.stat().st_mode) == 0o600
    info = dev.info()
    assert set(info.pids) == {"rlmctl", "model", "sandbox", "inference"}
    assert info.pids["rlmctl"] == dev.process.pid


def test_openai_sdk_gets_the_answer_with_usage_of_the_whole_run(dev: DevProcess) -> None:
    with sdk(dev) as client:
        completion = client.chat.completions.create(
            model="scripted-demo",
            messages=[QUESTION],
        )
    assert completion.choices[0].message.content == "8412"
    assert completion.usage is not None
    assert completion.usage.prompt_tokens > 1000


def test_openai_sdk_gets_the_answer_streamed(dev: DevProcess) -> None:
    with sdk(dev) as client:
        stream = client.chat.completions.create(model="scripted-demo", messages=[QUESTION], stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == "8412"


def test_wrong_key_is_401(dev: DevProcess) -> None:
    with sdk(dev, "wrong") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_model_is_said_to_be_the_stand_in(dev: DevProcess) -> None:
    assert (
        "the scripted stand-in scripted-demo answers: it follows rules and has no intelligence" in dev.log.read_text()
    )
    with sdk(dev) as client:
        assert [model.id for model in client.models.list()] == ["scripted-demo"]


def test_no_process_has_a_key_or_the_caller_s_secrets_in_environment_or_arguments(dev: DevProcess) -> None:
    info = dev.info()
    secrets = [key.encode() for key in ("leak-me", info.api_key, info.sandbox_key) if key]
    assert len(secrets) == 3
    pids = dev.tree()
    assert len(pids) > 4
    for pid in pids:
        exposed = read_exposed(pid)
        assert not any(secret in exposed for secret in secrets)


def test_model_of_the_environment_is_used_and_its_key_is_in_one_file_alone(tmp_path: Path) -> None:
    with run_standin() as url:
        variables = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-mine", "OPENAI_MODEL": "scripted-demo-other"}
        with run_dev(tmp_path, variables | {"TMPDIR": str(tmp_path)}) as dev:
            info = dev.info()
            assert info.model_url == url
            assert set(info.pids) == {"rlmctl", "sandbox", "inference"}
            assert "with OPENAI_API_KEY from the environment" in dev.log.read_text()
            with sdk(dev) as client:
                completion = client.chat.completions.create(model="scripted-demo-other", messages=[QUESTION])
            assert completion.choices[0].message.content == "8412"
            holders = [file for file in tmp_path.rglob("*") if file.is_file() and b"sk-mine" in file.read_bytes()]
            assert [file.parent.parent.name for file in holders] == ["inference"]
            assert not any(b"sk-mine" in read_exposed(pid) for pid in dev.tree())


def test_second_dev_at_the_same_place_is_refused(dev: DevProcess) -> None:
    second = run_rlmctl("dev", "-f", "config/samples/quickstart.yaml", environment=dev.environment)
    assert second.returncode == 2
    assert "another rlmctl dev is running" in second.stderr
    assert dev.ready_path.exists()


def test_crashed_process_starts_again_and_the_endpoint_answers_again(tmp_path: Path) -> None:
    with run_dev(tmp_path) as dev:
        before = dev.info()
        for name in ("inference", "sandbox"):
            os.kill(before.pids[name], signal.SIGKILL)
            wait_until(functools.partial(has_new_pid, dev, name, before.pids[name]))

        def answers() -> bool:
            return '"answer":"0"' in dev.ask("How many words are there?", "--json").stdout

        wait_until(answers)
        assert dev.info().endpoint == before.endpoint


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_everything_and_leaves_nothing(tmp_path: Path, signum: signal.Signals) -> None:
    with run_dev(tmp_path, {"TMPDIR": str(tmp_path)}) as dev:
        pids = dev.tree()
        assert dev.stop(signum) == 0
        assert not dev.ready_path.exists()
        wait_until(lambda: all(map(is_gone, pids)))
        assert list(tmp_path.glob("rlmctl-*")) == []


def test_killed_dev_leaves_no_process_and_the_next_one_removes_its_keys(tmp_path: Path) -> None:
    with run_dev(tmp_path, {"TMPDIR": str(tmp_path)}) as dev:
        pids = dev.tree()
        dev.stop(signal.SIGKILL)
        wait_until(lambda: all(map(is_gone, pids)))
        (left,) = tmp_path.glob("rlmctl-*")
        dev.ready_path.unlink()
    with run_dev(tmp_path, {"TMPDIR": str(tmp_path)}):
        assert not left.exists()
