"""What pods say of themselves becomes one reason, the cluster's words and what to do."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from rlm_operator.conditions import Reason
from rlm_operator.pod_look import is_due, seconds_to_next
from rlm_operator.pod_trouble import find_trouble
from rlm_operator.resource import Manifest
from rlm_operator.rollout import Rollout, rollout_conditions, rollout_trouble
from tests.operator.objects import deployment, rolled_out

NOW = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


def pod(name: str = "p-1", ready: str = "False", **status: Any) -> Manifest:
    conditions = [{"type": "Ready", "status": ready}, *status.pop("conditions", [])]
    return {"metadata": {"name": name}, "status": {"phase": "Pending", "conditions": conditions, **status}}


def waiting(reason: str, message: str, **container: Any) -> Manifest:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "sandbox", "state": state, **container}]}


def ended(reason: str, code: int, message: str = "") -> Manifest:
    return {"terminated": {"reason": reason, "exitCode": code, "message": message}}


UNSCHEDULED: Manifest = {
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
}


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (waiting("ErrImagePull", "not found"), Reason.IMAGE_PULL_FAILED, "ErrImagePull: not found: check the image's"),
        (waiting("InvalidImageName", "bad"), Reason.IMAGE_PULL_FAILED, "InvalidImageName: bad"),
        (waiting("CreateContainerConfigError", 'secret "x" not found'), Reason.CONTAINER_REFUSED, 'secret "x"'),
        (
            waiting("CrashLoopBackOff", "back-off", lastState=ended("Error", 2, "no such guest"), restartCount=4),
            Reason.CRASH_LOOPING,
            "Error with exit code 2, 4 restarts: no such guest: kubectl logs --previous",
        ),
        (
            waiting("CrashLoopBackOff", "", lastState=ended("OOMKilled", 137), restartCount=1),
            Reason.OUT_OF_MEMORY,
            "OOMKilled with exit code 137, 1 restarts: raise resources.limits.memory",
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "},
            Reason.EVICTED,
            "Evicted: The node was low on resource: memory: the node ran short",
        ),
        (UNSCHEDULED, Reason.UNSCHEDULABLE, "Unschedulable: 0/3 nodes: add nodes"),
        ({"containerStatuses": [{"state": {"running": {}}}]}, Reason.NOT_ANSWERING, "readiness probe"),
    ],
    ids=["pull", "image name", "config", "crash", "memory", "evicted", "unschedulable", "not answering"],
)
def test_a_pod_that_does_not_serve_says_why(status: Manifest, reason: Reason, words: str) -> None:
    trouble = find_trouble([pod(**status)])
    assert trouble is not None
    assert trouble.reason is reason
    assert trouble.message.startswith("pod p-1: ")
    assert words in trouble.message


@pytest.mark.parametrize(
    "well",
    [
        pod(ready="True", containerStatuses=[{"state": {"running": {}}, "lastState": ended("Error", 1)}]),
        pod(),
        pod(**waiting("ContainerCreating", "")),
        {**pod(**UNSCHEDULED), "metadata": {"name": "p", "deletionTimestamp": "2030-01-01T00:00:00Z"}},
    ],
    ids=["ready again", "new", "being created", "on its way out"],
)
def test_a_pod_that_is_well_or_new_says_nothing(well: Manifest) -> None:
    assert find_trouble([well]) is None


def test_the_gravest_trouble_speaks_and_counts_its_like_whatever_the_order() -> None:
    broken = [pod(name, **waiting("ErrImagePull", "not found")) for name in ("p-3", "p-2")]
    pods = [pod("p-1", **UNSCHEDULED), *broken]
    trouble = find_trouble(pods)
    assert trouble == find_trouble(pods[::-1])
    assert trouble is not None
    assert trouble.message.startswith("pod p-2 (and 1 more): ErrImagePull")


def test_long_words_of_a_pod_are_cut() -> None:
    trouble = find_trouble([pod(**waiting("CrashLoopBackOff", "", lastState=ended("Error", 1, "x" * 4096)))])
    assert trouble is not None
    assert len(trouble.message) < 800


def rollout(*conditions: Manifest, available: int = 0) -> Rollout:
    status = rolled_out(2, available)
    status["conditions"] += conditions
    return Rollout.of(deployment(2, status))


STUCK = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out progressing."}
QUOTA = 'pods "demo-rlm-5d4c9-x7k2p" is forbidden: exceeded quota: small'


def test_a_wait_for_nodes_is_told_but_degrades_only_when_the_cluster_gives_up() -> None:
    pods = find_trouble([pod(**UNSCHEDULED)])
    _, progressing = rollout_conditions(rollout(), pods)
    assert "0/3 nodes" in progressing.message
    assert not rollout_trouble(rollout(), pods)
    assert rollout_trouble(rollout(STUCK), pods)


def test_an_image_that_can_not_be_pulled_degrades_at_once() -> None:
    pods = find_trouble([pod(**waiting("ErrImagePull", "not found"))])
    assert pods is not None
    assert rollout_trouble(rollout(available=2), pods) == [(Reason.IMAGE_PULL_FAILED, pods.message)]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (QUOTA, Reason.QUOTA_EXCEEDED),
        ('pods "demo-rlm-5d4c9-x7k2p" is forbidden: no PriorityClass', Reason.PODS_REFUSED),
    ],
    ids=["quota", "admission"],
)
def test_pods_that_are_refused_degrade_in_words_that_stay_the_same(words: str, reason: Reason) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": words}
    found = rollout_trouble(rollout(failure), None)
    again = rollout_trouble(rollout({**failure, "message": words.replace("x7k2p", "zzzzz")}), None)
    assert found == again
    [(told, message)] = found
    assert told is reason
    assert 'pods "demo-rlm-5d4c9-..." is forbidden' in message


@pytest.mark.parametrize(
    ("age", "due", "after"), [(1, False, 5), (20, True, 20), (4000, True, 60)], ids=["fresh", "slow", "old"]
)
def test_pods_are_looked_at_when_a_rollout_stands_still_and_then_later_and_later(
    age: int, due: bool, after: float
) -> None:
    since = (NOW - datetime.timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    going_on = rollout({"type": "Progressing", "reason": "ReplicaSetUpdated", "lastUpdateTime": since})
    assert is_due(going_on, NOW) is due
    assert seconds_to_next(going_on, NOW) == after


def test_what_the_cluster_itself_calls_stuck_is_looked_at_whenever_it_said_so() -> None:
    said = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert is_due(rollout({**STUCK, "lastUpdateTime": said}), NOW)


def test_a_complete_rollout_needs_no_look() -> None:
    assert seconds_to_next(rollout(available=2), NOW) == 60
