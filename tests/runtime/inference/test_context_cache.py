"""A second question over an uploaded file begins with a copy of a session that has it: what is sent, what is shared."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from runtime.inference.context_cache import CACHED_ABOVE, MAX_BASES
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.asking import answer, repl
from tests.runtime.inference.counting_proxy import CountingProxy, count_bytes
from tests.runtime.inference.sandbox_pair import SandboxPair, run_pair
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox
from tests.runtime.inference.scripted_model import Gate, ScriptedModel
from tests.runtime.inference.service import API_KEY, Service, run_service, write_keys

OTHER_KEY = "another-user-key"
TEXT = "needle " + "hay " * (1024 * 1024)  # 4 MiB
SMALL = 100_000  # bytes; what a run sends besides its context
DEADLINE = 60.0


@pytest.fixture
async def proxy(sandbox: SandboxProcess) -> AsyncIterator[CountingProxy]:
    async with count_bytes(sandbox.url) as counting:
        yield counting


@contextlib.asynccontextmanager
async def served(settings: InferenceSettings, folder: Path, **changes: Any) -> AsyncIterator[Service]:
    keys = write_keys(folder / "keys", tester=API_KEY, other=OTHER_KEY)
    async with run_service(settings.model_copy(update=changes), keys) as service:
        yield service


@pytest.fixture
async def counted(settings: InferenceSettings, proxy: CountingProxy, tmp_path: Path) -> AsyncIterator[Service]:
    async with served(settings, tmp_path, wasm_service_url=proxy.url) as service:
        yield service


async def upload(service: Service, text: str, key: str = API_KEY) -> str:
    form = aiohttp.FormData()
    form.add_field("purpose", "user_data")
    form.add_field("file", io.BytesIO(text.encode()), filename="long.txt")
    headers = {"Authorization": f"Bearer {key}"}
    async with service.http.post(f"{service.url}/v1/files", data=form, headers=headers) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["id"])


async def uses(service: Service) -> tuple[float, float, float]:
    """Hits, misses, bypasses."""
    hit, miss, bypassed = [
        await service.metric("rlm_context_cache_total", result=use) for use in ("hit", "miss", "bypassed")
    ]
    return hit, miss, bypassed


async def test_second_question_over_a_file_sends_no_context(
    counted: Service, model: ScriptedModel, proxy: CountingProxy
) -> None:
    file_id = await upload(counted, TEXT)
    sent = []
    for _ in range(3):
        before = proxy.sent
        model.enqueue(repl("FINAL((len(context), context[:6], SHOW_VARS()))"))
        assert await answer(counted, files=[file_id]) == f"({len(TEXT)}, 'needle', 'no variables yet')"
        sent.append(proxy.sent - before)
    assert sent[0] > len(TEXT)
    assert max(sent[1:]) < SMALL
    assert await uses(counted) == (2, 1, 0)


async def test_equal_files_are_one_context_and_other_files_another(
    counted: Service, model: ScriptedModel, proxy: CountingProxy
) -> None:
    for text, expected in [(TEXT, (0, 1, 0)), (TEXT, (1, 1, 0)), (TEXT + "!", (1, 2, 0))]:
        model.enqueue(repl("FINAL(len(context))"))
        assert await answer(counted, files=[await upload(counted, text)]) == str(len(text))
        assert await uses(counted) == expected


async def test_context_of_one_key_is_never_copied_for_another(
    counted: Service, model: ScriptedModel, proxy: CountingProxy
) -> None:
    for key in (API_KEY, OTHER_KEY):
        before = proxy.sent
        file_id = await upload(counted, TEXT, key)
        model.enqueue(repl("FINAL(len(context))"))
        headers = {"Authorization": f"Bearer {key}"}
        body = {"query": "q", "files": [file_id]}
        async with counted.http.post(f"{counted.url}/rlm/v1/runs", json=body, headers=headers) as response:
            assert (await response.json())["answer"] == str(len(TEXT))
        assert proxy.sent - before > len(TEXT)
    assert await uses(counted) == (0, 2, 0)


async def test_nothing_that_a_run_changes_is_in_the_next_ones_context(counted: Service, model: ScriptedModel) -> None:
    """A folder of two files is a list that code can change in place."""
    files = [await upload(counted, TEXT), await upload(counted, "second")]
    spoil = "context[0]['text'] = 'changed'; context.append(1); left = 1; import builtins; builtins.left2 = 2"
    model.enqueue(repl(f"{spoil}\nFINAL(len(context))"))
    assert await answer(counted, files=files) == "3"
    look = "'left' in globals(), hasattr(__import__('builtins'), 'left2')"
    model.enqueue(repl(f"FINAL((len(context), context[0]['text'][:6], context[1]['text'], {look}))"))
    assert await answer(counted, files=files) == "(2, 'needle', 'second', False, False)"
    assert await uses(counted) == (1, 1, 0)


async def test_runs_over_one_file_at_the_same_time_bring_it_in_once(counted: Service, model: ScriptedModel) -> None:
    file_id = await upload(counted, TEXT)
    model.enqueue(*[repl("FINAL(len(context))")] * 4)
    answers = await asyncio.gather(*(answer(counted, files=[file_id]) for _ in range(4)))
    assert answers == [str(len(TEXT))] * 4
    assert await uses(counted) == (3, 1, 0)


@pytest.mark.parametrize("body", [{"context": TEXT}, {"files": ["small"]}])
async def test_what_is_sent_with_the_question_or_is_small_is_not_kept(
    counted: Service, model: ScriptedModel, body: dict[str, Any]
) -> None:
    if "files" in body:
        body = {"files": [await upload(counted, "x" * (CACHED_ABOVE - 1))]}
    model.enqueue(repl("FINAL(len(context) > 1000)"))
    assert await answer(counted, **body) == "True"
    assert await uses(counted) == (0, 0, 0)


async def test_text_that_is_not_ascii_and_answers_to_sub_calls_arrive_whole(
    counted: Service, model: ScriptedModel
) -> None:
    text = "ä€😀" * 800_000
    file_id = await upload(counted, text)
    for _ in range(2):
        model.enqueue(repl("FINAL((len(context), llm_query(context[-3:])))"))
        assert await answer(counted, files=[file_id]) == f"({len(text)}, 're: ä€😀')"


async def test_random_numbers_of_runs_over_one_file_differ(counted: Service, model: ScriptedModel) -> None:
    file_id = await upload(counted, TEXT)
    numbers = set()
    for _ in range(3):
        model.enqueue(repl("import random\nFINAL(random.random())"))
        numbers.add(await answer(counted, files=[file_id]))
    assert len(numbers) == 3


async def test_files_beyond_the_most_that_are_kept_replace_the_one_used_longest_ago(
    counted: Service, model: ScriptedModel
) -> None:
    texts = [f"{number:03d}" + "x" * CACHED_ABOVE for number in range(MAX_BASES + 1)]
    files = [await upload(counted, text) for text in texts]
    for index in [*range(MAX_BASES + 1), MAX_BASES, 0]:
        model.enqueue(repl("FINAL(context[:3])"))
        assert await answer(counted, files=[files[index]]) == f"{index:03d}"
    assert await uses(counted) == (1, MAX_BASES + 2, 0)


async def test_base_that_the_pool_has_ended_is_brought_in_again(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    with run_sandbox(tmp_path, SANDBOX_IDLE_TIMEOUT_SECONDS="4") as process:
        pool = {"wasm_service_url": process.url, "wasm_api_key_file": process.key_file}
        async with served(settings, tmp_path, **pool) as service:
            file_id = await upload(service, TEXT)
            for misses in (1, 2):
                model.enqueue(repl("FINAL(len(context))"))
                assert await answer(service, files=[file_id]) == str(len(TEXT))
                assert await uses(service) == (0, misses, 0)
                if misses == 1:
                    await until_empty(service, process)


async def until_empty(service: Service, process: SandboxProcess) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            async with service.http.get(f"{process.url}/metrics") as response:
                lines = (await response.text()).splitlines()
            if all(line.endswith(" 0.0") for line in lines if line.startswith("wasm_sessions{")):
                return
            await asyncio.sleep(0.05)


async def test_full_pool_gives_the_room_of_what_is_kept_to_runs(
    settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    """One session fits: there is no room for a copy beside what it is of, and none for the next run beside either."""
    with run_sandbox(tmp_path, SANDBOX_MAX_SESSIONS="1") as process:
        pool = {"wasm_service_url": process.url, "wasm_api_key_file": process.key_file}
        async with served(settings, tmp_path, **pool) as service:
            model.enqueue(repl("FINAL(len(context))"), repl("FINAL(2)"))
            assert await answer(service, files=[await upload(service, TEXT)]) == str(len(TEXT))
            assert await uses(service) == (0, 0, 1)
    (tmp_path / "two").mkdir()
    with run_sandbox(tmp_path / "two", SANDBOX_MAX_SESSIONS="2") as process:
        pool = {"wasm_service_url": process.url, "wasm_api_key_file": process.key_file}
        async with served(settings, tmp_path / "two", **pool) as service:
            model.replies.clear()
            gate = Gate(asyncio.Event(), repl("FINAL(1)"))
            model.enqueue(gate, repl("FINAL(2)"))
            first = asyncio.create_task(answer(service, files=[await upload(service, TEXT)]))
            await model.until(lambda scripted: len(scripted.root_calls) == 2)
            assert await answer(service) == "2"
            gate.opened.set()
            assert await first == "1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with run_pair(tmp_path_factory.mktemp("pair")) as made:
        made.heal()
        yield made


async def test_run_that_began_as_a_copy_outlives_the_server_of_both(
    settings: InferenceSettings, model: ScriptedModel, pair: SandboxPair, tmp_path: Path
) -> None:
    gate = Gate(asyncio.Event(), repl("FINAL((len(context), r, n))"))
    async with served(settings, tmp_path, wasm_service_url=pair.urls, wasm_api_key_file=pair.key_file) as service:
        file_id = await upload(service, TEXT)
        model.enqueue(repl("FINAL(1)"))
        await answer(service, files=[file_id])
        model.enqueue(repl("import random\nr = llm_query('p')\nn = random.random()\nprint(n)"), gate)
        asking = asyncio.create_task(answer(service, files=[file_id]))
        await model.until(lambda scripted: len(scripted.root_calls) == 3)
        await pair.kill("idle")
        gate.opened.set()
        assert (await asking).startswith(f"({len(TEXT)}, 're: p', 0.")
        assert await service.metric("rlm_session_recoveries_total", outcome="recovered") == 1
        assert await service.metric("rlm_diverged_runs_total") == 0
        assert await uses(service) == (1, 2, 0)
    assert len(model.sub_calls) == 1
