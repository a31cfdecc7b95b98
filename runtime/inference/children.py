"""Child runs: what `rlm_query` asks for. A child is a whole run of its own, with its own session and its own budget.

The runner hands `Children.ask` to each run; the loop of the child is the loop of the root. What a child spends counts
for all its ancestors, and running out of that ends the whole tree. Whatever else goes wrong in a child becomes a string
that begins with `Error: ` in the code that asked, like a plain sub-call that failed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Final

from runtime.inference.budget import Budget
from runtime.inference.chat_request import LONG_PART, excerpt_question
from runtime.inference.child_slots import ChildSlots
from runtime.inference.copying import copy_of
from runtime.inference.demand import demand_session
from runtime.inference.errors import BudgetError, BudgetReason, RunError
from runtime.inference.events import ChildCompleted, ChildStarted
from runtime.inference.loop import find_answer
from runtime.inference.opening import Fresh
from runtime.inference.outcome import Outcome, build_failure
from runtime.inference.question import Question, TextContext
from runtime.inference.run import Narrator, Run, make_mark
from runtime.inference.session import Sandbox, open_from
from runtime.inference.tool_calls import PREVIEW_CHARACTERS
from runtime.inference.tracing import fail

SESSION_TIMEOUT: Final = 60.0  # seconds that a child waits for a session; the runs that wait hold sessions themselves


class Children:
    """One per process; `ask` is the `ask_child` of every run."""

    def __init__(self, sandbox: Sandbox, slots: ChildSlots, sandbox_patience: float) -> None:
        """`sandbox_patience`: seconds that a child waits for a pool without servers."""
        self._sandbox = sandbox
        self._slots = slots
        self._sandbox_patience = sandbox_patience

    async def ask(self, parent: Run, index: int, prompt: str, model: str | None) -> Outcome:
        """Run a child over the prompt. Raises BudgetError when the tree's budget is used up."""
        name = model or parent.model
        if (refusal := parent.models.refuse(name)) is not None:
            return build_failure(name, refusal)
        async with self._slots.at(parent.depth + 1):
            await parent.attended.wait()
            budget, narrator = parent.budget.open_child(), parent.narrator.open_child()
            started = time.monotonic()
            narrator.say(
                ChildStarted(
                    **narrator.stamp(),
                    parent=parent.narrator.node,
                    index=index,
                    depth=parent.depth + 1,
                    model=name,
                    prompt_chars=len(prompt),
                    prompt_preview=prompt[:PREVIEW_CHARACTERS],
                )
            )
            with parent.tracing.run(name, narrator.run_id, narrator.node, parent.depth + 1, budget) as span:
                outcome = await self._answer(parent, index, prompt, name, budget, narrator)
                if outcome.error is not None:
                    fail(span, "child_failed")
            narrator.say(
                ChildCompleted(
                    **narrator.stamp(),
                    response_preview=outcome.text[:PREVIEW_CHARACTERS],
                    iterations=budget.iterations,
                    sub_calls=budget.subcalls,
                    usage=budget.usage,
                    duration_s=time.monotonic() - started,
                    error=outcome.error,
                )
            )
            parent.metrics.iterations.labels("child").observe(budget.iterations)
            parent.metrics.child_runs.labels("ok" if outcome.error is None else "failed").inc()
            return outcome

    async def _answer(
        self, parent: Run, index: int, prompt: str, model: str, budget: Budget, narrator: Narrator
    ) -> Outcome:
        in_copy = budget.limits.fork_children
        question = build_child_question(prompt, in_copy)
        origin = copy_of(parent.session, index) if in_copy else Fresh(question, parent.tools.offers)
        opening = partial(open_from, self._sandbox, origin)
        demanded = demand_session(parent.metrics, opening, 0 if in_copy else self._sandbox_patience)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(SESSION_TIMEOUT):
                    session = await stack.enter_async_context(demanded)
                answer = await find_answer(
                    replace(
                        parent,
                        question=question,
                        model=model,
                        depth=parent.depth + 1,
                        session=session,
                        budget=budget,
                        narrator=narrator,
                        partial_answer=None,
                        mark=make_mark(),
                    )
                )
        except BudgetError as error:
            if error.reason is not BudgetReason.CONSECUTIVE_ERRORS:
                raise
            failure = error.code
        except RunError as error:
            failure = error.code
        except TimeoutError:
            failure = "sandbox_unavailable"
        else:
            return Outcome(model, answer.text, usage=budget.usage, child=narrator.node)
        return build_failure(model, f"the child run gave no answer ({failure})", budget.usage, narrator.node)


def build_child_question(prompt: str, in_copy: bool) -> Question:
    """The prompt is the child's context; as far as it is short it is shown as the question too."""
    return Question(
        text=prompt if len(prompt) <= LONG_PART else excerpt_question(prompt),
        context=TextContext(prompt),
        in_copy=in_copy,
    )
