"""Conditions: when a transition time changes, what counts as the same status, and what is worth an Event."""

from __future__ import annotations

import datetime

import pytest

from rlm_operator.conditions import (
    Condition,
    ConditionType,
    Reason,
    build_conditions,
    find_transitions,
    is_same_status,
)
from rlm_operator.events import build_event
from rlm_operator.resource import Manifest
from tests.operator.specs import build_stack

BEFORE, NOW = "2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z"
FOUND = Condition(ConditionType.SECRETS_READY, True, Reason.SECRETS_FOUND, "all there")
MISSING = Condition(ConditionType.SECRETS_READY, False, Reason.SECRET_MISSING, "one is missing")
INCOMPLETE = Condition(ConditionType.SECRETS_READY, False, Reason.SECRET_KEY_MISSING, "an entry is missing")
NOT_READY = Condition(ConditionType.READY, False, Reason.SECRET_MISSING, "one is missing")
READY = Condition(ConditionType.READY, True, Reason.READY, "answers")
STARTING = Condition(ConditionType.AVAILABLE, False, Reason.PODS_UNAVAILABLE, "0 of 2")


def built(*conditions: Condition, previous: list[Manifest] | None = None, now: str = BEFORE) -> list[Manifest]:
    return build_conditions(conditions, previous or [], 1, now)


@pytest.mark.parametrize(("after", "since"), [(MISSING, NOW), (FOUND, BEFORE)], ids=["status changed", "same status"])
def test_the_transition_time_is_that_of_the_status(after: Condition, since: str) -> None:
    [condition] = built(after, previous=built(FOUND), now=NOW)
    assert condition["lastTransitionTime"] == since


def test_another_reason_alone_is_no_transition() -> None:
    [condition] = built(INCOMPLETE, previous=built(MISSING), now=NOW)
    assert (condition["lastTransitionTime"], condition["reason"]) == (BEFORE, "SecretKeyMissing")


def test_a_message_is_cut_to_what_the_schema_allows() -> None:
    long = Condition(ConditionType.READY, False, Reason.CHILD_REFUSED, "x" * 5000)
    assert len(built(long)[0]["message"]) == 2048


def test_the_order_of_conditions_makes_no_difference() -> None:
    one, two = built(READY, FOUND), built(FOUND, READY)
    assert is_same_status({"conditions": one}, {"conditions": two})
    assert not is_same_status({"conditions": one}, {"conditions": built(READY)})
    assert not is_same_status({"url": "a", "conditions": one}, {"url": "b", "conditions": one})


@pytest.mark.parametrize(
    ("previous", "now", "told"),
    [
        ([], [NOT_READY, MISSING], [MISSING]),
        ([], [READY, FOUND], []),
        ([], [STARTING], []),
        ([NOT_READY, MISSING], [NOT_READY, MISSING], []),
        ([NOT_READY, MISSING], [NOT_READY, INCOMPLETE], [INCOMPLETE]),
        ([NOT_READY, MISSING], [READY, FOUND], [READY, FOUND]),
    ],
    ids=["new and bad", "new and good", "starting", "unchanged", "another reason", "good again"],
)
def test_events_tell_of_transitions_once(
    previous: list[Condition], now: list[Condition], told: list[Condition]
) -> None:
    assert find_transitions(now, built(*previous)) == told


def test_an_event_names_the_resource_and_carries_the_message() -> None:
    stack = build_stack(uid="u-1")
    at = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    event = build_event(stack.identity, MISSING, "pod-1", at)
    assert (event["type"], event["reason"]) == ("Warning", "SecretMissing")
    assert (event["regarding"]["name"], event["regarding"]["uid"]) == ("demo", "u-1")
    assert event["note"] == "SecretsReady: one is missing"
    assert event["eventTime"] == "2030-01-01T00:00:00.000000Z"
    assert build_event(stack.identity, FOUND, "pod-1", at)["type"] == "Normal"
