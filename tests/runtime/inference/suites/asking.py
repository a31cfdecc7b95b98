"""Asks one question over a context, and checks everything about the run but its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from runtime.inference.events import RunCompleted, StopReason
from runtime.inference.question import DocumentsContext, Question, build_context
from runtime.inference.usage import Usage
from tests.runtime.inference.asking import run
from tests.runtime.inference.service import Service
from tests.runtime.inference.suites.bill import ROOT, SUB, bill_root


@dataclass(frozen=True)
class Expected:
    iterations: int
    sub_calls: int = 0  # asked for; equal ones are paid once
    sub_usage: Usage | None = None


async def ask(service: Service, question: str, context: Any, expected: Expected) -> RunCompleted:
    """Over text, a JSON value or, as `{"documents": […]}`, a folder. Turns, calls, tokens and cost must be exact."""
    body = context if isinstance(context, dict) and "documents" in context else {"context": context}
    events = await run(service, query=question, **body)
    done = events[-1]
    assert isinstance(done, RunCompleted), done
    assert done.stop_reason is StopReason.FINAL
    assert (done.iterations, done.sub_calls) == (expected.iterations, expected.sub_calls)
    described = DocumentsContext(context["documents"]) if "documents" in body else build_context(context)
    bill = {ROOT: bill_root(Question(question, described), events)}
    if expected.sub_usage is not None:
        bill[SUB] = expected.sub_usage
    assert {model: _tokens(usage) for model, usage in done.usage_by_model.items()} == {
        model: _tokens(usage) for model, usage in bill.items()
    }
    assert done.usage.cost == pytest.approx(sum(usage.cost or 0 for usage in bill.values()))
    return done


def _tokens(usage: Usage) -> tuple[int, int, int]:
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
