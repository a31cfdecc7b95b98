"""Carries one run from its question to its end: session, deadline, first and last event, metrics, log line.

Called by `hosting.py` for requests and by `runtime.client`. Whatever happens, exactly one of `run.completed` and
`run.failed` is said, also when the run is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from runtime.inference.budget import Budget, Limits
from runtime.inference.caller import Caller
from runtime.inference.children import Children
from runtime.inference.demand import demand_session
from runtime.inference.direct import answer_directly, is_short
from runtime.inference.engine import Engine
from runtime.inference.errors import BudgetError, InferenceError, RunCancelledError
from runtime.inference.events import RunCompleted, RunError, RunFailed, RunStarted
from runtime.inference.loop import find_answer
from runtime.inference.memo import Memo
from runtime.inference.opening import Fresh
from runtime.inference.question import Question
from runtime.inference.run import Conversation, Narrator, Run
from runtime.inference.session import open_from
from runtime.inference.turns import Answer

log = logging.getLogger(__name__)


def build_cancellation() -> InferenceError:
    return RunCancelledError("the run was cancelled")


async def run_question(
    engine: Engine,
    question: Question,
    limits: Limits,
    narrator: Narrator,
    attended: asyncio.Event,
    caller: Caller,
    cancelled_by: Callable[[], InferenceError] = build_cancellation,
) -> RunCompleted:
    """The run's last event. Raises RunError when there is no answer; anything else raised is a defect. `cancelled_by`
    says why the task was cancelled."""
    budget = Budget(limits, time.monotonic)
    narrator.say(RunStarted(**narrator.stamp(), model=engine.settings.served_model, context=question.summary))
    status = "cancelled"
    completed: RunCompleted | None = None
    try:
        await engine.audit.run_started(caller, narrator.run_id, engine.settings.served_model, question)
        with (
            engine.metrics.active_runs.track_inprogress(),
            engine.tracing.run(engine.settings.served_model, narrator.run_id, narrator.node, 0, budget),
        ):
            completed = await _answer(engine, question, budget, narrator, attended)
        status = "ok"
    except asyncio.CancelledError:
        narrator.say(_build_failure(narrator, cancelled_by(), budget))
        raise
    except InferenceError as error:
        status = error.code
        narrator.say(_build_failure(narrator, error, budget))
        raise
    except Exception:
        status = InferenceError.code
        log.exception("run failed on a defect", extra={"run_id": narrator.run_id})
        defect = InferenceError("the run failed on a defect of the service; see its log")
        narrator.say(_build_failure(narrator, defect, budget))
        raise
    finally:
        engine.audit.run_ended(caller, narrator.run_id, status, budget, completed)
        engine.metrics.requests.labels(status).inc()
        engine.metrics.duration.observe(budget.elapsed)
        engine.metrics.iterations.labels("root").observe(budget.iterations)
        engine.metrics.depth.observe(budget.levels)
        log.info(
            "run ended",
            extra={
                "run_id": narrator.run_id,
                "request_id": caller.request_id,
                "key_name": caller.key_name,
                "status": status,
                "iterations": budget.iterations,
                "sub_calls": budget.subcalls,
                "total_tokens": budget.usage.total_tokens,
                "cost": budget.usage.cost,
                "context_characters": question.summary.characters,
                "duration_s": round(budget.elapsed, 3),
            },
        )
    narrator.say(completed)
    return completed


async def _answer(
    engine: Engine, question: Question, budget: Budget, narrator: Narrator, attended: asyncio.Event
) -> RunCompleted:
    share = max(1, engine.settings.max_concurrency // 2)
    talk = Conversation(
        question=question,
        model=engine.settings.model_name,
        depth=0,
        models=engine.models,
        tracing=engine.tracing,
        budget=budget,
        narrator=narrator,
        subcall_share=share,
        subcall_slots=asyncio.Semaphore(share),
        attended=attended,
        recovery_seconds=engine.settings.recovery_seconds,
    )
    try:
        async with asyncio.timeout(budget.limits.timeout) as deadline:
            # Without a session there are no tools.
            if is_short(question, engine.settings.direct_below_tokens) and not engine.tools.offers:
                answer = await answer_directly(talk)
            else:
                answer = await _answer_in_session(engine, talk)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise _stopped(engine, budget.timed_out(), talk) from error
    except BudgetError as error:
        raise _stopped(engine, error, talk) from error.__cause__
    return _build_completed(talk, answer)


async def _answer_in_session(engine: Engine, talk: Conversation) -> Answer:
    origin = engine.contexts.origin(Fresh(talk.question, engine.tools.offers))
    opening = partial(open_from, engine.sandbox, origin)
    async with demand_session(engine.metrics, opening, engine.settings.sandbox_start_timeout_seconds) as session:
        run = Run(
            **vars(talk),
            session=session,
            metrics=engine.metrics,
            memo=Memo(),
            tools=engine.tools,
            tool_calls=Counter(),
            audit=engine.audit,
            ask_child=Children(engine.sandbox, engine.child_slots, engine.settings.sandbox_start_timeout_seconds).ask,
            compact_above_tokens=engine.settings.compact_above,
        )
        try:
            return await find_answer(run)
        finally:
            talk.partial_answer = run.partial_answer


def _stopped(engine: Engine, error: BudgetError, talk: Conversation) -> BudgetError:
    engine.metrics.budget_stops.labels(error.reason.value).inc()
    error.partial_answer = talk.partial_answer
    return error


def _build_completed(talk: Conversation, answer: Answer) -> RunCompleted:
    budget = talk.budget
    return RunCompleted(
        **talk.stamp(),
        answer=answer.text,
        stop_reason=answer.stop_reason,
        iterations=budget.iterations,
        sub_calls=budget.subcalls,
        usage=budget.usage,
        usage_by_model=dict(budget.usage_by_model),
        duration_s=budget.elapsed,
        recoveries=talk.recoveries.count,
        diverged=talk.recoveries.divergences > 0,
    )


def _build_failure(narrator: Narrator, error: InferenceError, budget: Budget) -> RunFailed:
    return RunFailed(
        **narrator.stamp(),
        error=RunError(code=error.code, message=error.message),
        iterations=budget.iterations,
        sub_calls=budget.subcalls,
        duration_s=budget.elapsed,
        usage=budget.usage,
        usage_by_model=dict(budget.usage_by_model),
        partial_answer=error.partial_answer if isinstance(error, BudgetError) else None,
    )
