"""Runs outlive the process: restarts, crashes, what is deleted, what is never written down."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from runtime.inference.events import RunFailed, parse_event
from runtime.inference.model_endpoint import REDACTED
from runtime.inference.presence import Presence
from runtime.inference.replies import Pace
from runtime.inference.run_archive import RunArchive
from runtime.inference.run_record import RunDetail, RunStatus
from runtime.inference.settings import InferenceSettings
from runtime.inference.storage import Storage, open_storage
from tests.runtime.inference.inference_process import running
from tests.runtime.inference.s3_server import S3Server, run_s3_server
from tests.runtime.inference.sandbox_process import SANDBOX_KEY, SandboxProcess
from tests.runtime.inference.scripted_model import Gate, Hang, ScriptedModel
from tests.runtime.inference.service import API_KEY, Service, run_service, write_keys

DEADLINE = 60.0
QUICK = Pace(heartbeat=0.1, beat=0.1, drain=0.5)
HEADERS = {"Authorization": f"Bearer {API_KEY}"}
Serve = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def serve(settings: InferenceSettings, tmp_path: Path) -> Serve:
    """Services over one storage; the arguments are settings."""
    keys = write_keys(tmp_path / "keys", tester=API_KEY)
    stored = settings.model_copy(update={"storage_url": f"file://{tmp_path}/kept"})

    @contextlib.asynccontextmanager
    async def start(pace: Pace = QUICK, **changes: Any) -> AsyncIterator[Service]:
        async with run_service(stored.model_copy(update=changes), keys, pace) as service:
            yield service

    return start


async def call(service: Service, method: str, path: str, **request: Any) -> tuple[int, Any]:
    async with service.http.request(method, f"{service.url}/rlm/v1/runs{path}", **request) as response:
        return response.status, await response.json()


async def begin(service: Service, **body: Any) -> str:
    status, detail = await call(service, "POST", "", json={"query": "How many?", "background": True, **body})
    assert status == 202, detail
    return str(detail["id"])


async def events(service: Service, run_id: str) -> list[Any]:
    url = f"{service.url}/rlm/v1/runs/{run_id}/events"
    async with asyncio.timeout(DEADLINE), service.http.get(url) as response:
        lines = (await response.text()).split("\n")
    return [parse_event(line[6:]) for line in lines if line.startswith("data: ")]


async def until_stored(service: Service, folder: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await service.storage.entries(folder):  # noqa: ASYNC110  # nobody tells of what is stored
            await asyncio.sleep(0.02)


async def until_status(service: Service, run_id: str, status: str) -> Any:
    async with asyncio.timeout(DEADLINE):
        while True:
            _, detail = await call(service, "GET", f"/{run_id}")
            if detail["status"] == status:
                return detail
            await asyncio.sleep(0.02)


async def test_restart_shows_finished_runs_as_they_were(serve: Serve, model: ScriptedModel) -> None:
    model.enqueue("```repl\nprint('out')\n```", "FINAL(42)")
    async with serve() as service:
        run_id = await begin(service, context="x" * 100)
        said = await events(service, run_id)
        detail = await until_status(service, run_id, "completed")
        [summary] = (await call(service, "GET", ""))[1]["data"]
    async with serve() as again:
        assert await call(again, "GET", f"/{run_id}") == (200, detail)
        assert (await call(again, "GET", ""))[1]["data"] == [summary]
        assert await events(again, run_id) == said


async def test_run_that_the_shutdown_ended_is_failed_as_draining(serve: Serve, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    async with serve() as service:
        run_id = await begin(service)
        await model.until(lambda scripted: scripted.hanging == 1)
    async with serve() as again:
        _, detail = await call(again, "GET", f"/{run_id}")
        assert (detail["status"], detail["error"]["code"]) == ("failed", "draining")
        assert (await events(again, run_id))[-1].error.code == "draining"


@pytest.fixture
def environment(model: ScriptedModel, tmp_path: Path) -> dict[str, str]:
    """Of a process over the same storage, whose runs need no session: nobody would end those of a process that died."""
    return {
        "RLM_API_KEYS_DIR": str(write_keys(tmp_path / "keys", tester=API_KEY)),
        "RLM_MODEL_BASE_URL": model.base_url,
        "RLM_STORAGE_URL": f"file://{tmp_path}/kept",
        "RLM_DIRECT_BELOW_TOKENS": "1000",
    }


async def begin_in(ports: dict[str, int]) -> str:
    url = f"http://127.0.0.1:{ports['api']}/rlm/v1/runs"
    body = {"query": "How many?", "background": True}
    async with aiohttp.ClientSession(headers=HEADERS) as http, http.post(url, json=body) as response:
        return str((await response.json())["id"])


async def test_crash_in_the_middle_leaves_a_failed_run_and_none_that_runs_for_ever(
    serve: Serve, model: ScriptedModel, environment: dict[str, str]
) -> None:
    model.enqueue(Hang())
    async with serve() as service, running(environment) as (process, ports):
        run_id = await begin_in(ports)
        await model.until(lambda scripted: scripted.hanging == 1)
        process.kill()
        await process.wait()
        detail = await until_status(service, run_id, "failed")
        assert (detail["error"]["code"], detail["question"]) == ("interrupted", "How many?")
        [only] = (await call(service, "GET", "?status=failed"))[1]["data"]
        assert (only["id"], only["error"]["code"]) == (run_id, "interrupted")
        assert (await call(service, "GET", "?status=running"))[1]["data"] == []
        [event] = await events(service, run_id)
        assert isinstance(event, RunFailed)
        assert event.error.code == "interrupted"
        assert (await call(service, "POST", f"/{run_id}/cancel"))[1] == detail


async def test_run_that_ends_while_the_process_drains_is_stored_before_it_is_gone(
    serve: Serve, model: ScriptedModel, environment: dict[str, str]
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    async with running(environment) as (process, ports):
        run_id = await begin_in(ports)
        await model.until(lambda scripted: len(scripted.root_calls) == 1)
        process.send_signal(signal.SIGTERM)
        gate.set()
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() == 0
    async with serve() as service:
        _, detail = await call(service, "GET", f"/{run_id}")
        assert detail["status"] == "completed"
        assert [event.seq for event in await events(service, run_id)] == list(range(4))


async def test_run_of_another_living_process_is_running_and_its_events_come_at_its_end(
    serve: Serve, model: ScriptedModel
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    async with serve() as service, serve() as other:
        run_id = await begin(other)
        _, detail = await call(service, "GET", f"/{run_id}")
        assert detail["status"] == "running"
        [summary] = (await call(service, "GET", "?status=running"))[1]["data"]
        assert summary["id"] == run_id
        following = asyncio.create_task(events(service, run_id))
        gate.set()
        assert [event.seq for event in await following] == list(range(len(following.result())))
        assert following.result() == await events(other, run_id)


async def test_run_of_another_living_process_is_cancelled_through_the_storage(
    serve: Serve, model: ScriptedModel
) -> None:
    model.enqueue(Hang())
    async with serve(Pace(beat=0.5)) as service, serve() as other:
        run_id = await begin(other)
        await model.until(lambda scripted: scripted.hanging == 1)
        status, detail = await call(service, "POST", f"/{run_id}/cancel")
        if status == 409:  # a busy machine took longer than the beats
            assert detail["error"]["code"] == "run_elsewhere"
            detail = await until_status(service, run_id, "cancelled")
        assert (detail["status"], detail["error"]["code"]) == ("cancelled", "cancelled")
        await model.until(lambda scripted: scripted.abandoned == 1)


async def test_nothing_is_stored_when_that_is_switched_off_and_the_run_is_there_for_a_while(
    serve: Serve, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)")
    async with serve(store_runs=False) as service:
        run_id = await begin(service)
        assert (await until_status(service, run_id, "completed"))["answer"] == "42"
        assert [entry.path for entry in await service.storage.entries("") if "run" in entry.path] == []
    async with serve() as again:
        assert (await call(again, "GET", f"/{run_id}"))[0] == 404


async def test_storage_that_fails_refuses_background_runs_and_delays_what_others_leave_behind(
    serve: Serve, model: ScriptedModel, tmp_path: Path
) -> None:
    async with serve(Pace()) as service:  # with few signs of life, which would bring the folder back
        await until_stored(service, "processes")
        shutil.rmtree(tmp_path / "kept")
        (tmp_path / "kept").write_text("no folder")
        status, body = await call(service, "POST", "", json={"query": "q", "background": True})
        assert (status, body["error"]["code"]) == (503, "storage_unavailable")
        model.replies.clear()
        model.enqueue("FINAL(42)")
        status, body = await call(service, "POST", "", json={"query": "q"})
        assert (status, body["answer"]) == (200, "42")
        (tmp_path / "kept").unlink()
        (tmp_path / "kept").mkdir(exist_ok=True)
        await until_stored(service, "runs")


async def test_no_key_gets_into_what_is_stored_or_answered(
    serve: Serve, model: ScriptedModel, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    """Code looks for them, and an endpoint echoes the header that it was sent."""
    secret = "sk-of-the-endpoint-123456"
    (tmp_path / "llm-key").write_text(secret + "\n")
    look = (
        "import os, sys\nfound = [repr(dict(os.environ)), repr(sys.argv)]\n"
        "for folder, _, names in os.walk('/'):\n    for name in names:\n        try:\n"
        "            found.append(open(os.path.join(folder, name)).read()) if 'key' in name else None\n"
        "        except Exception as error: found.append(repr(error))\n"
    )
    model.sub_rule = lambda _: f"you sent Bearer {model.requests[-1].headers['Authorization']}"
    model.enqueue(
        f"You sent {secret}.\n```repl\n{look}print(found, context)\n```",
        f"```repl\nFINAL(llm_query('x') + ' {secret}' + repr(found) + open('{sandbox.key_file}').read())\n```",
        "```repl\nFINAL(llm_query('x') + repr(found))\n```",
    )
    async with serve(model_api_key_file=tmp_path / "llm-key") as service:
        run_id = await begin(service, context="the context")
        detail = await until_status(service, run_id, "completed")
        said = await events(service, run_id)
    assert REDACTED in detail["answer"]
    kept = [path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    texts = [gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content for content in kept]
    assert any(b"You sent " in text for text in texts)
    assert {request.headers["Authorization"] for request in model.requests} == {f"Bearer {secret}"}
    for each in (secret, SANDBOX_KEY, API_KEY):
        assert not [text for text in texts if each.encode() in text], each
        assert each not in "".join(event.model_dump_json() for event in said)


def detail_of(run_id: str, owner: str, status: RunStatus, question: str) -> RunDetail:
    limits = {
        "max_iterations": 1,
        "max_subcalls": 1,
        "timeout": 1,
        "max_consecutive_errors": 1,
        "max_depth": 1,
        "max_tokens": None,
        "max_cost": None,
        "fork_children": False,
        "reuse_answers": True,
    }
    context = {"type": "none", "characters": 0}
    fields = {"id": run_id, "status": status, "created_at": 1.0, "model": "m", "key_name": owner}
    return RunDetail.model_validate({**fields, "question": question, "context": context, "limits": limits})


@pytest.fixture(params=["disk", "s3"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    url, config = f"file://{tmp_path}/kept", None
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        url, config = f"{server.url}/{tmp_path.name}", server.config_dir
    async with open_storage(url, config, 60) as opened:
        yield opened


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with run_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


async def test_oldest_runs_are_deleted_beyond_the_size_and_running_ones_never(storage: Storage) -> None:
    archive = RunArchive(storage, Presence(storage), 10_000)
    ids = [f"{number:032x}" for number in range(8)]
    await archive.begin(detail_of(ids[0], "a/b", RunStatus.RUNNING, "still on"), None)
    for number, run_id in enumerate(ids[1:]):
        owner = "a/b" if number % 2 else "other"
        await archive.save(detail_of(run_id, owner, RunStatus.COMPLETED, "q"), bytes([number]) * 3_000)
    left = [run.id for run in await archive.runs(None)]
    assert left[-1] == ids[0]
    assert left[:-1] == ids[: len(ids) - len(left) : -1]
    assert sum(entry.size for entry in await storage.entries("runs")) <= 10_000
    assert 2 <= len(left) - 1 <= 3
    assert {run.owner for run in await archive.runs(None)} == {"a/b", "other"}


async def test_how_a_run_ended_counts_more_than_that_it_was_running(storage: Storage) -> None:
    archive = RunArchive(storage, Presence(storage), 10_000)
    crashed = RunArchive(storage, Presence(storage), 10_000)
    run_id = "1" * 32
    await crashed.begin(detail_of(run_id, "a", RunStatus.RUNNING, "q"), b"of its endpoint")
    await archive.save(detail_of(run_id, "a", RunStatus.COMPLETED, "q"), b"")
    [run] = await archive.runs("a")
    assert (run.status, run.is_interrupted) == (RunStatus.COMPLETED, False)
    assert await archive.find("a", run_id) == run
    assert await archive.find("b", run_id) is None
    assert await archive.request(run) == b"of its endpoint"
    await archive.delete(run)
    assert [entry.path for entry in await storage.entries("runs")] == []
