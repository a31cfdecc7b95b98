"""The isolation probe: when it runs, what its pods look like, and what their reports say of the network."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from rlm_operator.conditions import Reason
from rlm_operator.isolation.planning import ProbeState, due_run, isolation_condition, policy_digest
from rlm_operator.isolation.verdict import Report, judge, parse_report
from rlm_operator.objects.isolation_probe import build_probe_jobs
from rlm_operator.objects.owner import plane_of
from rlm_operator.render import render
from rlm_operator.resource import Manifest
from tests.operator.specs import INPUTS, build_pool, build_stack, one

POOL = build_pool("shared", isolationProbe={"period": "1h"})
NOW = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
OUTSIDE = ["api-server", "dns", "internet", "metadata"]


def state(minutes_ago: int, reason: Reason = Reason.ISOLATION_VERIFIED, policy: str = "p") -> ProbeState:
    checked_at = (NOW - datetime.timedelta(minutes=minutes_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ProbeState(policy, checked_at, reason, "words")


@pytest.mark.parametrize(
    ("before", "is_due"),
    [
        (None, True),
        (state(59), False),
        (state(60), True),
        (state(1, policy="another"), True),
        (state(9, Reason.ISOLATION_PROBE_FAILED), False),
        (state(10, Reason.ISOLATION_PROBE_FAILED), True),
        (state(59, Reason.NETWORK_POLICY_NOT_ENFORCED), False),
    ],
    ids=["never", "within the period", "after it", "changed", "failed just now", "failed before", "not enforced"],
)
def test_a_run_is_due_after_changes_each_period_and_soon_after_a_failure(
    before: ProbeState | None, is_due: bool
) -> None:
    assert (due_run(POOL, before, "p", NOW) is not None) == is_due


def test_a_run_keeps_its_name_until_its_verdict_is_known() -> None:
    later = NOW + datetime.timedelta(hours=9)
    assert due_run(POOL, state(90), "p", NOW) == due_run(POOL, state(90), "p", later)
    assert due_run(POOL, state(90), "p", NOW) != due_run(POOL, state(91), "p", NOW)


def test_a_probe_that_is_off_is_never_due_and_says_nothing() -> None:
    pool = build_pool(isolationProbe={"enabled": False})
    assert due_run(pool, None, "p", NOW) is None
    assert isolation_condition(pool, state(0)) is None


def test_clients_and_images_change_what_was_probed_and_replicas_do_not() -> None:
    def digest_of(**spec: Any) -> str:
        return policy_digest(render(build_pool(**spec), INPUTS))

    assert digest_of() == digest_of(replicas=9)
    assert digest_of() != digest_of(clients=[{"podSelector": {}}])
    assert digest_of() != digest_of(image="scientific")


def jobs() -> dict[str, Manifest]:
    pool = build_pool("shared", podTemplate={"imagePullSecrets": [{"name": "pull"}]}, scheduling={"spot": True})
    deployment = one(render(pool, INPUTS), "Deployment")
    built = build_probe_jobs(plane_of(pool.identity), "0123abcd", deployment, "10.96.0.9", {"llm-1": "203.0.113.7:443"})
    return {job["metadata"]["labels"]["rlm-operator.dev/isolation-role"]: job for job in built}


def test_each_role_tries_what_it_should() -> None:
    arguments = {role: job["spec"]["template"]["spec"]["containers"][0]["args"] for role, job in jobs().items()}
    assert arguments == {
        "sandbox": ["--outside=closed", "--closed=llm-1=203.0.113.7:443"],
        "stranger": ["--outside=any", "--closed=sandbox=10.96.0.9:8000"],
        "client": ["--open=sandbox=10.96.0.9:8000"],
    }


def test_probe_pods_carry_the_networks_label_of_their_role_and_no_service_or_budget_selects_them() -> None:
    policy = one(render(build_pool("shared"), INPUTS), "NetworkPolicy")["spec"]
    stack_children = render(build_stack("shared"), INPUTS)
    selectors = [
        child["spec"]["selector"].get("matchLabels", child["spec"]["selector"])
        for child in (*render(build_pool("shared"), INPUTS), *stack_children)
        if child["kind"] in ("Service", "PodDisruptionBudget", "Deployment")
    ]
    assert len(selectors) >= 7
    for role, job in jobs().items():
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert not [selector for selector in selectors if selector.items() <= labels.items()]
        assert (policy["podSelector"]["matchLabels"].items() <= labels.items()) == (role == "sandbox")
        caller = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
        assert (caller.items() <= labels.items()) == (role == "client")


def test_probe_pods_are_restricted_bounded_and_scheduled_as_the_pools_own() -> None:
    for job in jobs().values():
        pod = job["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["imagePullSecrets"] == [{"name": "pull"}]
        assert pod["tolerations"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert set(container["resources"]) == {"requests", "limits"}
        assert "volumeMounts" not in container, "no key is near it"
        assert job["spec"]["activeDeadlineSeconds"] < 600


def report(*reached: str, tried: list[str] | None = None) -> Report:
    return Report(reached=list(reached), tried=tried or OUTSIDE)


GOOD = {"sandbox": report(), "stranger": report("api-server", "dns"), "client": report("sandbox", tried=["sandbox"])}


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({}, Reason.ISOLATION_VERIFIED, "reached none of api-server, dns, internet, metadata; one without it reached"),
        ({"stranger": report()}, Reason.ISOLATION_VERIFIED, "one without it reached none of them either"),
        (
            {"sandbox": report("dns", "llm-1")},
            Reason.NETWORK_POLICY_NOT_ENFORCED,
            "a pod with the sandbox's network label reached dns, llm-1",
        ),
        (
            {"stranger": report("sandbox")},
            Reason.NETWORK_POLICY_NOT_ENFORCED,
            "a pod without a caller's label reached the sandbox port",
        ),
        ({"client": report()}, Reason.ISOLATION_PROBE_FAILED, "could not reach the sandbox port either"),
        ({"client": None}, Reason.ISOLATION_PROBE_FAILED, "client: DeadlineExceeded"),
        ({"client": None, "sandbox": report("dns")}, Reason.NETWORK_POLICY_NOT_ENFORCED, "reached dns"),
    ],
    ids=["isolated", "no outside at all", "leaks", "open port", "shut for all", "no report", "leak and no report"],
)
def test_reports_say_what_the_network_does(changes: dict[str, Report | None], reason: Reason, words: str) -> None:
    reports = {role: found for role, found in {**GOOD, **changes}.items() if found is not None}
    found, message = judge(reports, {"client": "DeadlineExceeded"})
    assert found is reason
    assert words in message


@pytest.mark.parametrize(
    "message",
    ["", "Traceback", "{}", '{"reached": "dns", "tried": []}', json.dumps({"reached": ["x" * 65], "tried": []})],
)
def test_a_termination_message_that_is_no_report_is_none(message: str) -> None:
    assert parse_report(message) is None


def test_the_state_survives_in_the_status() -> None:
    before = state(3, Reason.NETWORK_POLICY_NOT_ENFORCED)
    assert ProbeState.of({"isolation": before.to_status()}) == before
    assert ProbeState.of({}) is None
    assert ProbeState.of({"isolation": {**before.to_status(), "reason": "FromAnotherVersion"}}) is None


def test_the_condition_waits_without_being_unknown_and_keeps_the_last_verdict() -> None:
    waiting = isolation_condition(POOL, None)
    assert waiting is not None
    assert (waiting.holds, waiting.reason) == (False, Reason.ISOLATION_PENDING)
    verified = isolation_condition(POOL, state(600))
    assert verified is not None
    assert verified.holds
