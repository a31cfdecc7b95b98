"""What is kept, on a local disk and in a real S3 server: objects, retention, failures, the end of the process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime.inference.errors import StorageUnavailableError
from runtime.inference.storage import ID_LENGTH, Storage, StorageSettingError, open_storage
from tests.runtime.inference.s3_server import S3Server, run_s3_server

WEEK = 604_800.0
LARGE = 12_000_000  # several parts of a multipart upload


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with run_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["disk", "s3"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    if request.param == "disk":
        url, config = f"file://{tmp_path}/kept", None
    else:
        server: S3Server = request.getfixturevalue("s3")
        url, config = f"{server.url}/{tmp_path.name}", server.config_dir
    async with open_storage(url, config, WEEK) as opened:
        yield opened


async def test_what_was_put_is_found_listed_and_deleted(storage: Storage) -> None:
    await storage.put("runs/a b%2F/2", b"two")
    await storage.put("runs/a b%2F/1", b"one")
    await storage.put("runs/other/3", b"three")
    assert await storage.get("runs/a b%2F/1") == b"one"
    assert [(entry.path, entry.size) for entry in await storage.entries("runs/a b%2F")] == [
        ("runs/a b%2F/1", 3),
        ("runs/a b%2F/2", 3),
    ]
    assert await storage.subfolders("runs") == ["a b%2F", "other"]
    await storage.delete("runs/a b%2F/1", "runs/never/there")
    assert await storage.get("runs/a b%2F/1") is None
    assert await storage.entries("nothing") == []


async def test_file_larger_than_one_part_comes_back_whole(storage: Storage, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    (tmp_path / "spooled").write_bytes(content)
    await storage.put("contents/large", tmp_path / "spooled")
    chunks = [chunk async for chunk in storage.read("contents/large")]
    assert b"".join(chunks) == content
    assert len(chunks) > 1


async def test_reading_what_is_not_there_says_so_before_the_first_chunk(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        [chunk async for chunk in storage.read("contents/none")]


async def test_sweep_deletes_what_is_older_than_the_retention_and_nothing_else(tmp_path: Path) -> None:
    async with open_storage(f"file://{tmp_path}", None, WEEK) as storage:
        await storage.put("runs/old", b"x")
        await storage.put("runs/new", b"x")
        os.utime(tmp_path / "runs/old", (time.time() - WEEK - 60, time.time() - WEEK - 60))
        assert await storage.sweep() == 1
        assert [entry.path for entry in await storage.entries("runs")] == ["runs/new"]


async def test_ids_sort_by_time_and_carry_the_token(tmp_path: Path) -> None:
    async with open_storage(f"file://{tmp_path}", None, WEEK) as storage:
        first = storage.new_id()
        await asyncio.sleep(0.002)  # ids are ordered by the millisecond
        second = storage.new_id()
        assert first < second
        assert first[12:20] == second[12:20] == storage.token
        assert len(first) == ID_LENGTH
    async with open_storage(f"file://{tmp_path}", None, WEEK) as again:
        assert again.token == storage.token


async def test_storage_without_a_url_ends_with_the_process() -> None:
    async with open_storage(None, None, WEEK) as first, open_storage(None, None, WEEK) as second:
        await first.put("files/a", b"x")
        assert await second.get("files/a") is None
        assert first.token != second.token


async def test_store_that_is_not_there_is_a_503_of_ours(s3: S3Server, tmp_path: Path) -> None:
    async with open_storage("s3://no-such-bucket/prefix", s3.config_dir, WEEK) as storage:
        with pytest.raises(StorageUnavailableError):
            await storage.put("files/a", b"x")


@pytest.mark.parametrize("url", ["s3://", "az://"])
async def test_wrong_url_is_refused_when_it_is_opened(url: str) -> None:
    with pytest.raises(StorageSettingError):
        async with open_storage(url, None, WEEK):
            pass


async def test_unknown_option_is_refused_when_the_storage_is_opened(tmp_path: Path) -> None:
    (tmp_path / "aws_no_such_option").write_text("x")
    with pytest.raises(StorageSettingError):
        async with open_storage("s3://bucket/prefix", tmp_path, WEEK):
            pass


def test_process_that_used_the_storage_to_its_end_ends_in_order(tmp_path: Path) -> None:
    """obstore's own coroutines abort the interpreter in about one of six such ends."""
    program = f"""
import asyncio
from runtime.inference.storage import open_storage
async def main():
    async with open_storage("file://{tmp_path}", None, 60) as storage:
        await storage.put("a/b", b"x" * 6_000_000)
        [chunk async for chunk in storage.read("a/b")]
        await storage.entries("a")
asyncio.run(main())
"""
    for _ in range(8):
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
