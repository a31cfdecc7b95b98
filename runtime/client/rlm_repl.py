"""A whole recursive run from synchronous code, without the inference service: the same loop, in this process."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Final

from pydantic import ValidationError

from runtime.client.loop_thread import LoopThread
from runtime.inference.caller import Caller
from runtime.inference.engine import open_engine
from runtime.inference.events import RunCompleted, TrajectoryEvent
from runtime.inference.metrics import Metrics
from runtime.inference.question import Question, build_context
from runtime.inference.run import Narrator
from runtime.inference.runner import run_question
from runtime.inference.settings import InferenceSettings
from runtime.settings import variable_name

DEFAULT_QUERY: Final = "Read the context and answer the question or follow the instructions in it."


class RLM_REPL:  # noqa: N801  # the name that RLM programs import
    """Model, budgets and sandbox key come from the settings RLM_* and WASM_*; the code runs at `wasm_service_url`.

    `last` is the whole outcome of the last completion, `trajectory` its events.
    """

    def __init__(self, wasm_service_url: str | None = None, *, settings: InferenceSettings | None = None) -> None:
        settings = settings or _read_settings()
        if wasm_service_url is not None:
            settings = settings.model_copy(update={"wasm_service_url": wasm_service_url})
        self._settings = settings
        self._context: Any = None
        self._query: str | None = None
        self.last: RunCompleted | None = None
        self.trajectory: list[TrajectoryEvent] = []

    def setup_context(self, context: Any, query: str | None = None) -> None:
        """Keep a context (text or any JSON value) and a question for the next `completion`."""
        self._context = context
        self._query = query

    def completion(self, context: Any = None, query: str | None = None) -> str:
        """The answer. What is not given comes from `setup_context`.

        Raises the RunError of `runtime.inference.errors` that ended the run.
        """
        if context is not None or query is not None:
            self.setup_context(self._context if context is None else context, query or self._query)
        question = Question(
            text=self._query or DEFAULT_QUERY,
            context=build_context("" if self._context is None else self._context),
        )
        self.trajectory = []
        thread = LoopThread()
        try:
            self.last = thread.run(self._run(question))
        finally:
            thread.close()
        return self.last.answer

    async def _run(self, question: Question) -> RunCompleted:
        attended = asyncio.Event()
        attended.set()
        run_id = uuid.uuid4().hex
        narrator, caller = Narrator(run_id, self.trajectory.append), Caller("local", run_id)
        async with open_engine(self._settings, Metrics()) as engine:
            return await run_question(engine, question, self._settings.limits, narrator, attended, caller)

    def reset(self) -> None:
        """Forget context, question and the last outcome."""
        self.setup_context(None)
        self.last = None
        self.trajectory = []


def _read_settings() -> InferenceSettings:
    try:
        return InferenceSettings()
    except ValidationError as error:
        problems = [
            f"{variable_name(InferenceSettings, str(problem['loc'][0]))}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise ValueError("; ".join(problems)) from error
