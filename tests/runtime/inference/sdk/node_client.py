"""The `openai` SDK for Node: installed by its lock into the user's cache, and one process that runs all commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any, Final

from runtime.sandbox.guest_image import default_folder
from runtime.sandbox.pyodide.install import install_npm
from runtime.sandbox.pyodide.installation import find_node
from tests.runtime.inference.sdk.clients import JsonObject, Sdk, SdkError, Target

MANIFESTS: Final = Path(__file__).parent / "node"
PACKAGE: Final = "openai"
DRIVER: Final = "driver.mjs"


def wanted_version() -> str:
    manifest = json.loads((MANIFESTS / "package.json").read_text(encoding="utf-8"))
    return str(manifest["dependencies"][PACKAGE])


def install() -> Path:
    """The folder that has `node_modules`, by version, in the user's cache. Raises InstallationError."""
    return install_npm(MANIFESTS, default_folder().with_name("node-sdk") / f"{PACKAGE}-{wanted_version()}")


class NodeSdk(Sdk):
    timeout_kind = "APIConnectionTimeoutError"

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._ids = count()
        self._waiting: dict[int, Future[JsonObject]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    async def run(self, target: Target, command: str, args: JsonObject) -> Any:
        number = next(self._ids)
        reply: Future[JsonObject] = Future()
        self._waiting[number] = reply
        connection = {"url": target.url, "key": target.key, "retries": target.retries, "timeout": target.timeout}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, **connection, "command": command, "args": args}) + "\n")
        self._process.stdin.flush()
        answer = await asyncio.wrap_future(reply)
        if "error" in answer:
            raise SdkError(answer["error"])
        return answer["value"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self._waiting.pop(answer["id"]).set_result(answer)


@contextlib.contextmanager
def run_node() -> Iterator[NodeSdk]:
    """Raises InstallationError where there is no Node, or one that is too old."""
    node = find_node("the openai SDK for Node")
    process = subprocess.Popen(
        [node, MANIFESTS / DRIVER, install()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        yield NodeSdk(process)
    finally:
        process.kill()
        process.communicate()
