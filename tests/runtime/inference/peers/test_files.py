"""A file is the caller's at every replica, whichever has it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openai
import pytest

from tests.runtime.inference.peers.conftest import Caller, new_caller
from tests.runtime.inference.peers.replicas import Replica
from tests.runtime.inference.scripted_model import ScriptedModel
from tests.runtime.inference.service import SERVED_MODEL
from tests.runtime.inference.test_files import SHOW, about, upload

LARGE = b"0123456789abcde\n" * (5 * 1024 * 1024 // 16)


async def test_file_of_one_replica_is_found_read_and_deleted_through_the_others(caller: Caller) -> None:
    async with caller.at(0) as first, caller.at(1) as second, caller.at(2) as third:
        stored = await upload(first, "one.txt", LARGE)
        for client in (first, second, third):
            assert await client.files.retrieve(stored.id) == stored
            assert (await client.files.content(stored.id)).content == LARGE
        assert (await third.files.delete(stored.id)).deleted
        for client in (first, second, third):
            with pytest.raises(openai.NotFoundError) as gone:
                await client.files.retrieve(stored.id)
            assert gone.value.code == "file_not_found"


async def test_question_to_one_replica_is_over_files_of_two_others(caller: Caller, model: ScriptedModel) -> None:
    model.enqueue(SHOW, SHOW)
    async with caller.at(0) as first, caller.at(1) as second, caller.at(2) as third:
        one, two = await upload(first, "one.txt", b"ONE"), await upload(second, "two.txt", b"TWO")
        done = await third.chat.completions.create(model=SERVED_MODEL, messages=about(one.id, two.id))
        assert done.choices[0].message.content == str([("one.txt", "ONE"), ("two.txt", "TWO")])
        again = await third.chat.completions.create(model=SERVED_MODEL, messages=about(one.id))
        assert again.choices[0].message.content == "ONE"
        await first.files.delete(one.id)
        with pytest.raises(openai.NotFoundError) as gone:  # though its text may still be in memory there
            await third.chat.completions.create(model=SERVED_MODEL, messages=about(one.id))
        assert gone.value.code == "file_not_found"


async def test_list_at_any_replica_has_the_files_of_all_in_order_and_page_by_page(caller: Caller) -> None:
    async with caller.at(0) as first, caller.at(1) as second, caller.at(2) as third:
        clients = (first, second, third)
        made = [(await upload(clients[number % 3], f"{number}.txt", b"x")).id for number in range(7)]
        for client in clients:
            assert [each.id async for each in client.files.list(order="asc")] == made
            assert [each.id async for each in client.files.list(limit=2)] == made[::-1]
            assert [each.id async for each in client.files.list(purpose="assistants")] == []
        page = await second.files.list(limit=3)
        assert (page.has_more, [each.id for each in page.data]) == (True, made[:-4:-1])
        assert not (page.model_extra or {}).get("missing_replicas")


async def test_file_of_another_key_is_found_at_no_replica(caller: Caller, replicas: list[Replica], keys: Path) -> None:
    stranger = new_caller(replicas, keys)
    async with caller.at(0) as client:
        stored = await upload(client, "one.txt", b"secret")
    for replica in range(3):
        async with stranger.at(replica) as other:
            assert [each.id async for each in other.files.list()] == []
            for use in (other.files.retrieve, other.files.content, other.files.delete):
                with pytest.raises(openai.NotFoundError) as refused:
                    await use(stored.id)
                assert refused.value.code in {"file_not_found"}


async def test_many_requests_at_once_meet_whole_files(caller: Caller) -> None:
    async with caller.at(0) as first, caller.at(1) as second:
        contents = {f"{number}.txt": f"{number}\n".encode() * 10_000 for number in range(8)}
        stored = await asyncio.gather(*(upload(first, name, content) for name, content in contents.items()))
        read = await asyncio.gather(*(second.files.content(each.id) for each in stored for _ in range(4)))
    assert [reply.content for reply in read] == [contents[each.filename] for each in stored for _ in range(4)]
