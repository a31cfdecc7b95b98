"""Everything the inference plane keeps: one door to obstore, so a local disk, S3, GCS and Azure look alike.

Opened by `__main__` for the whole process; `file_store.py` and `run_archive.py` decide what lies where. obstore's
synchronous calls run in threads of this module's own: its asynchronous ones now and then abort the interpreter at exit
(a Tokio thread hands over a result while Python finalizes), which would turn an orderly end into a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from runtime.inference.errors import StorageUnavailableError

THREADS: Final = 8
CHUNK_BYTES: Final = 1024 * 1024
TOKEN_LENGTH: Final = 8
ID_LENGTH: Final = 12 + TOKEN_LENGTH + 12
_ID: Final = re.compile(rf"(?:[a-z]+[-_])?[0-9a-f]{{12}}([0-9a-f]{{{TOKEN_LENGTH}}})[0-9a-f]{{12}}")
_SWEEP_SECONDS: Final = 600.0
_PLAIN_HTTP: Final = "http://"
_RETRIES: Final = 3
_RETRY_TIMEOUT: Final = timedelta(seconds=10)  # obstore's own is 3 minutes

ResultT = TypeVar("ResultT")

log = logging.getLogger(__name__)


class StorageSettingError(Exception):
    """RLM_STORAGE_URL or its configuration is wrong; the message says what."""


def storage_of(item: str) -> str | None:
    """The token of the storage that an id was made in, whatever is put in front of it; None: it is no id."""
    match = _ID.fullmatch(item)
    return None if match is None else match[1]


@dataclass(frozen=True)
class StoredObject:
    path: str
    size: int  # bytes
    modified: float  # unix seconds


class Storage:
    """Objects by path. Every method raises StorageUnavailableError when the store cannot be asked.

    `token` is in every id made here, so that an id from another store can be told from one that was deleted.
    """

    def __init__(self, store: ObjectStore, token: str, retention: float) -> None:
        self._store = store
        self.token = token
        self.retention = retention  # seconds
        self._threads = ThreadPoolExecutor(THREADS, "storage")

    def new_id(self) -> str:
        """32 hex digits that sort by time: milliseconds, the store's token, chance."""
        return f"{int(time.time() * 1000):012x}{self.token}{secrets.token_hex(6)}"

    async def put(self, path: str, content: bytes | Path) -> None:
        """Atomically; a Path is a file of any size."""
        await self._call(lambda: obstore.put(self._store, path, content))

    async def get(self, path: str) -> bytes | None:
        """None when it is not there."""
        with contextlib.suppress(FileNotFoundError):
            return await self._call(lambda: bytes(obstore.get(self._store, path).bytes()), may_be_absent=True)
        return None

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """In chunks. Raises FileNotFoundError before the first."""
        chunks = await self._call(lambda: iter(obstore.get(self._store, path).stream(CHUNK_BYTES)), may_be_absent=True)
        while (chunk := await self._call(lambda: next(chunks, None))) is not None:
            yield bytes(chunk)

    async def delete(self, *paths: str) -> None:
        """What is not there is no error."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                await self._call(partial(obstore.delete, self._store, path), may_be_absent=True)

    async def entries(self, folder: str) -> list[StoredObject]:
        """Everything below `folder`, by path."""
        objects = await self._call(lambda: [entry for batch in obstore.list(self._store, folder) for entry in batch])
        found = (StoredObject(entry["path"], entry["size"], entry["last_modified"].timestamp()) for entry in objects)
        return sorted(found, key=lambda entry: entry.path)

    async def subfolders(self, folder: str) -> list[str]:
        """Names of the folders directly below `folder`."""
        listed = await self._call(lambda: obstore.list_with_delimiter(self._store, folder))
        return sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in listed["common_prefixes"])

    async def sweep(self) -> int:
        """Delete what is older than the retention; how many objects that was."""
        horizon = time.time() - self.retention
        old = [entry.path for entry in await self.entries("") if entry.modified < horizon]
        await self.delete(*old)
        return len(old)

    async def keep_sweeping(self) -> None:
        """Until cancelled. A sweep that fails is tried again with the next."""
        while True:
            try:
                if count := await self.sweep():
                    log.info("deleted what was kept long enough", extra={"objects": count})
            except StorageUnavailableError as error:
                log.warning("storage could not be swept", extra={"error": error.message})
            await asyncio.sleep(min(_SWEEP_SECONDS, self.retention))

    def close(self) -> None:
        """Waits for the calls under way."""
        self._threads.shutdown()

    async def _call(self, work: Callable[[], ResultT], *, may_be_absent: bool = False) -> ResultT:
        """A missing bucket is told as a missing object; only where one may be absent is it handed on."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (BaseError, OSError) as error:
            if may_be_absent and isinstance(error, FileNotFoundError):
                raise
            log.warning("storage failed", extra={"error": str(error)[:500]})
            raise StorageUnavailableError("the storage of files and runs cannot be reached; try again") from error


@contextlib.asynccontextmanager
async def open_storage(
    url: str | None, config_dir: Path | None, retention: float, endpoint: str | None = None
) -> AsyncIterator[Storage]:
    """The storage of a process, swept in the background. `url` None: a folder of its own that ends with it; `endpoint`:
    of a store that is not the provider's own.

    Raises StorageSettingError.
    """
    with contextlib.ExitStack() as stack:
        if url is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rlm-storage-"))
            storage = Storage(LocalStore(folder), secrets.token_hex(TOKEN_LENGTH // 2), retention)
        else:
            token = hashlib.sha256(url.encode()).hexdigest()[:TOKEN_LENGTH]
            storage = Storage(_open_store(url, config_dir, endpoint), token, retention)
        sweeping = asyncio.create_task(storage.keep_sweeping())
        try:
            yield storage
        finally:
            sweeping.cancel()
            await asyncio.wait({sweeping})
            storage.close()


def _open_store(url: str, config_dir: Path | None, endpoint: str | None) -> ObjectStore:
    """`config_dir` is a mounted Secret: each file is one of obstore's options for the kind of store."""
    try:
        if urlsplit(url).scheme == "file":
            return from_url(url, mkdir=True)
        config = _read_config(config_dir) if config_dir is not None else {}
        if endpoint is not None:
            config["endpoint"] = endpoint
        plain = any(value.startswith(_PLAIN_HTTP) for value in config.values())  # an endpoint within the cluster
        store: ObjectStore = from_url(  # type: ignore[call-overload]  # the options are the store's
            url,
            config=config,
            client_options={"allow_http": plain},
            retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        )
    except (BaseError, OSError, ValueError, TypeError) as error:
        raise StorageSettingError(str(error).splitlines()[0]) from error
    return store


def _read_config(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    return {path.name: path.read_text(encoding="utf-8").strip() for path in files}
