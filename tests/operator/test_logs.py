"""Log lines of the operator: which resource and which pass they speak of, and no key in any of them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

from rlm_operator.kinds import Ref
from rlm_operator.logs import configure_logging, logged_for

STACK, POOL = Ref("RLMStack", "team", "demo"), Ref("SandboxPool", "team", "shared")


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_of_a_pass_names_its_resource_and_each_pass_has_an_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    for key in (STACK, STACK, POOL):
        with logged_for(key):
            logging.getLogger("test").warning("looked at")
    logging.getLogger("test").info("between")
    first, second, third, between = lines(capsys)
    assert (first["namespace"], first["stack"], first["message"]) == ("team", "demo", "looked at")
    assert (third["namespace"], third["pool"]) == ("team", "shared")
    assert "stack" not in third
    assert len({line["reconcile_id"] for line in (first, second, third)}) == 3
    assert not {"namespace", "stack", "reconcile_id"} & between.keys()


async def test_passes_at_once_do_not_mix_their_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    both = asyncio.Barrier(2)

    async def reconcile(key: Ref) -> None:
        with logged_for(key):
            await both.wait()
            logging.getLogger("test").info(key.name)

    await asyncio.gather(reconcile(STACK), reconcile(POOL))
    for line in lines(capsys):
        assert line["message"] in (line.get("stack"), line.get("pool"))


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_looks_like_a_key_is_in_no_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", form)
    logging.getLogger("test").warning("refused: %s", 'invalid value "sk-abcdef0123456789abcdef"')
    try:
        raise ValueError("password=hunter2hunter2")
    except ValueError:
        logging.getLogger("test").exception("a defect")
    printed = capsys.readouterr().err
    assert "refused" in printed
    assert "sk-abc" not in printed
    assert "hunter2hunter2" not in printed
