"""The scripted model for synchronous tests: it serves from a thread's own loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.client.loop_thread import LoopThread
from tests.runtime.inference.scripted_model import ScriptedModel


@contextmanager
def run_scripted_model() -> Iterator[ScriptedModel]:
    thread = LoopThread()
    scripted = thread.run(_start())
    try:
        yield scripted
    finally:
        thread.run(scripted.stop())
        thread.close()


async def _start() -> ScriptedModel:
    return await ScriptedModel().start()
