"""OOLONG-like questions: every line is labelled by the sub-model, in batches, before anything can be counted."""

from __future__ import annotations

from typing import Final

import pytest

from runtime.inference.usage import Usage
from tests.runtime.inference.service import Service
from tests.runtime.inference.suites.asking import Expected, ask
from tests.runtime.inference.suites.bill import bill_labelling
from tests.runtime.inference.suites.ledger import (
    Entry,
    build_ledger,
    count_labels,
    score_number,
    score_pairs,
    true_pairs,
    write_ledger,
)

SEED: Final = 7
COUNT: Final = "Classify each line as positive, negative or neutral, and count each label."
PAIRS: Final = "List all pairs of users who both have a line that is {}, of the labels positive, negative and neutral."
LONGEST_OUTPUT: Final = 20_000  # characters of a cell that the root model is shown


def expect_labelling(entries: list[Entry]) -> Expected:
    """Look, try the first prompt, ask all (the first is an equal call and is not paid again), answer."""
    prompts, usage = bill_labelling(entries)
    assert isinstance(usage, Usage)
    return Expected(iterations=4, sub_calls=1 + prompts, sub_usage=usage)


def read_counts(answer: str) -> dict[str, int]:
    """`positive: 3, negative: 2`."""
    pairs = (part.split(": ") for part in answer.split(", "))
    return {label: int(count) for label, count in pairs}


def read_pairs(answer: str) -> set[tuple[int, int]]:
    """`(1, 2)` on each line."""
    pairs = [line.strip("()").split(", ") for line in answer.splitlines()]
    assert all(len(pair) == 2 for pair in pairs)
    return {(int(one), int(other)) for one, other in pairs}


@pytest.mark.parametrize("entries", [100, 1_000, 10_000])
async def test_labels_of_a_ledger_are_counted_exactly(service: Service, entries: int) -> None:
    ledger = build_ledger(entries, users=50, seed=SEED)
    done = await ask(service, COUNT, write_ledger(ledger), expect_labelling(ledger))
    assert read_counts(done.answer) == count_labels(ledger)


async def test_mistakes_of_the_sub_model_are_what_the_score_says(service: Service) -> None:
    ledger = build_ledger(500, users=50, seed=SEED, ironic=2)
    done = await ask(service, COUNT, write_ledger(ledger), expect_labelling(ledger))
    said, true = read_counts(done.answer), count_labels(ledger)
    scores = {label: score_number(said[label], count) for label, count in true.items()}
    assert scores == {"positive": 0.5625, "negative": 0.5625, "neutral": 1.0}


@pytest.mark.parametrize("label", ["positive", "neutral"])
async def test_pairs_of_users_come_out_whole_through_a_variable(service: Service, label: str) -> None:
    """Every pair of some two hundred users: an answer far beyond what the model is ever shown."""
    ledger = build_ledger(2_000, users=200, seed=SEED)
    done = await ask(service, PAIRS.format(label), write_ledger(ledger), expect_labelling(ledger))
    assert score_pairs(read_pairs(done.answer), true_pairs(ledger, label)) == 1.0
    assert len(done.answer) > 10 * LONGEST_OUTPUT


async def test_pair_that_irony_hides_costs_its_share_of_f1(service: Service) -> None:
    ledger = build_ledger(60, users=40, seed=SEED, ironic=12)
    done = await ask(service, PAIRS.format("positive"), write_ledger(ledger), expect_labelling(ledger))
    true = true_pairs(ledger, "positive")
    found = {entry.user for entry in ledger if entry.worded == "positive"}
    kept = {pair for pair in true if found.issuperset(pair)}
    assert 0 < len(kept) < len(true)
    assert score_pairs(read_pairs(done.answer), true) == 2 * len(kept) / (len(kept) + len(true))
