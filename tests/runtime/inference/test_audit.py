"""The audit log of the inference plane says who asked what when, and gives nothing of it away."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import redirect_stdout
from pathlib import Path

import aiohttp
import pytest

from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.asking import answer, failure, repl
from tests.runtime.inference.scripted_model import PROMPT_TOKENS, QUESTION, Failure, Gate, Hang, ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys
from tests.runtime.sandbox.eventually import eventually

SECRET = "a-secret-that-no-log-may-have"

Line = dict[str, object]


class Audited:
    """A service whose stdout can be read."""

    def __init__(self, service: Service, stdout: io.StringIO) -> None:
        self.service = service
        self._stdout = stdout

    @property
    def text(self) -> str:
        return self._stdout.getvalue()

    def lines(self, event: str | None = None) -> list[Line]:
        lines: list[Line] = [json.loads(line) for line in self.text.splitlines()]
        assert all(line["logger"] == "audit" and line["timestamp"] for line in lines)
        return [line for line in lines if event in {None, line["event"]}]

    async def line(self, event: str) -> Line:
        await eventually(lambda: self.lines(event))
        (line,) = self.lines(event)
        return line


@pytest.fixture
async def audited(settings: InferenceSettings, tmp_path: Path) -> AsyncIterator[Audited]:
    telling = settings.model_copy(update={"audit_log": True})
    with redirect_stdout(io.StringIO()) as stdout:
        async with run_service(telling, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
            yield Audited(service, stdout)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_a_run_is_put_down_with_who_what_and_what_came_of_it_and_no_text(
    audited: Audited, model: ScriptedModel
) -> None:
    model.enqueue(repl(f"print(llm_query('{SECRET} grün'))"), f"FINAL({SECRET}!)")
    audited.service.http.headers["x-request-id"] = "my-request.7"
    question = f"{QUESTION} {SECRET}"
    assert await answer(audited.service, query=question, context=f"{SECRET} für alle") == f"{SECRET}!"
    started, ended = await audited.line("run_started"), await audited.line("run_ended")
    asked = {
        "key_name": "tester",
        "request_id": "my-request.7",
        "endpoint": "/rlm/v1/runs",
        "model": SERVED_MODEL,
        "question_sha256": digest(question),
        "question_bytes": len(question),
        "context_type": "text",
        "context_sha256": digest(f"{SECRET} für alle"),
        "context_bytes": len(SECRET) + 10,
    }
    assert started | asked == started
    outcome = {
        "key_name": "tester",
        "request_id": "my-request.7",
        "run": started["run"],
        "outcome": "ok",
        "iterations": 2,
        "sub_calls": 1,
        "prompt_tokens": 3 * PROMPT_TOKENS,
        "answer_sha256": digest(f"{SECRET}!"),
        "answer_bytes": len(SECRET) + 1,
    }
    assert ended | outcome == ended
    request = await audited.line("request")
    assert request | {"method": "POST", "endpoint": "/rlm/v1/runs", "status": 200, "key_name": "tester"} == request
    assert SECRET not in audited.text


async def test_a_run_that_fails_and_one_that_is_given_up_are_put_down_with_their_ends(
    audited: Audited, model: ScriptedModel
) -> None:
    model.enqueue(Failure(401))
    await failure(audited.service)
    assert (await audited.line("run_ended"))["outcome"] == "model_error"
    model.enqueue(Hang())
    body = {"query": QUESTION, "stream": True}
    async with audited.service.http.post(f"{audited.service.url}/rlm/v1/runs", json=body):
        await model.until(lambda seen: seen.hanging == 1)
    await eventually(lambda: len(audited.lines("run_ended")) == 2)
    assert (
        audited.lines("run_ended")[1] | {"outcome": "cancelled", "answer_sha256": None}
        == (audited.lines("run_ended")[1])
    )


async def test_documents_are_hashed_with_their_paths_and_json_as_its_text(
    audited: Audited, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(1)", "FINAL(2)")
    await answer(audited.service, documents=[{"path": "a", "text": "x"}, {"path": "b", "text": "y"}])
    await answer(audited.service, context={"k": [1]})
    documents, value = audited.lines("run_started")
    assert (documents["context_type"], documents["context_sha256"]) == ("documents", digest("a\0x\0b\0y\0"))
    assert (value["context_type"], value["context_sha256"], value["context_bytes"]) == ("json", digest('{"k":[1]}'), 9)


async def test_a_file_is_put_down_from_upload_to_deletion_and_so_is_the_question_over_it(
    audited: Audited, model: ScriptedModel
) -> None:
    form = aiohttp.FormData({"purpose": "user_data"})
    form.add_field("file", SECRET.encode(), filename=f"{SECRET}.txt")
    url = f"{audited.service.url}/v1/files"
    async with audited.service.http.post(url, data=form) as response:
        file_id = (await response.json())["id"]
    model.enqueue("FINAL(1)")
    await answer(audited.service, files=[file_id])
    async with audited.service.http.delete(f"{url}/{file_id}") as response:
        assert response.status == 200
    uploaded = await audited.line("file_uploaded")
    kept = {"key_name": "tester", "file": file_id, "bytes": len(SECRET), "sha256": digest(SECRET)}
    assert uploaded | kept == uploaded
    assert uploaded["request_id"]
    assert (await audited.line("file_read"))["file"] == file_id
    assert (await audited.line("file_deleted"))["file"] == file_id
    assert (await audited.line("run_started"))["context_sha256"] == uploaded["sha256"]
    assert [(line["method"], line["item"]) for line in audited.lines("request")][-1] == ("DELETE", file_id)
    assert SECRET not in audited.text


async def test_a_refused_request_is_put_down_with_its_status_and_without_its_key(audited: Audited) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    await audited.service.http.get(f"{audited.service.url}/v1/{SECRET}", headers=headers)
    line = await audited.line("request")
    assert line | {"key_name": None, "endpoint": "/{unknown}", "status": 401, "item": None} == line
    assert SECRET not in audited.text


async def test_a_retry_that_joins_a_run_is_put_down_with_that_run(audited: Audited, model: ScriptedModel) -> None:
    opened = asyncio.Event()
    model.enqueue(Gate(opened, "FINAL(1)"))
    body = {"query": QUESTION}

    async def ask(retry: int) -> int:
        headers = {"x-stainless-retry-count": str(retry)}
        url = f"{audited.service.url}/rlm/v1/runs"
        async with audited.service.http.post(url, json=body, headers=headers) as response:
            return response.status

    first = asyncio.create_task(ask(0))
    await model.until(lambda seen: len(seen.requests) == 1)
    second = asyncio.create_task(ask(1))
    joined = await audited.line("run_joined")
    opened.set()
    assert (await first, await second) == (200, 200)
    assert joined | {"key_name": "tester", "run": (await audited.line("run_started"))["run"]} == joined


async def test_nothing_is_written_without_the_setting(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    model.enqueue("FINAL(1)")
    with redirect_stdout(io.StringIO()) as stdout:
        async with run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
            await answer(service)
    assert stdout.getvalue() == ""
