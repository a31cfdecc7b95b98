"""Where pods run, and what a spec may put on them: `podTemplate` and `scheduling`, hostile ones included."""

from __future__ import annotations

import pytest

from rlm_operator.errors import SpecInvalidError
from rlm_operator.objects.owner import Plane
from rlm_operator.objects.placement import Placement, build_placement
from rlm_operator.objects.pod import build_pod_template
from rlm_operator.objects.sandbox import build_sandbox_workspace
from rlm_operator.render import render
from rlm_operator.resource import Manifest, Resource
from rlm_operator.spec.pod_template import PodTemplate
from rlm_operator.spec.scheduling import Scheduling
from tests.operator.specs import INPUTS, build_pool, build_stack, one

PLANE = Plane("sandbox", "p", "team", "p-wasm")
SPOT_TAINT = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"}
EXTRAS = ("affinity", "nodeSelector", "tolerations", "priorityClassName", "runtimeClassName", "imagePullSecrets")


def pod_of(resource: Resource) -> Manifest:
    template: Manifest = one(render(resource, INPUTS), "Deployment")["spec"]["template"]
    return template


def both(template: Manifest) -> list[Resource]:
    return [build_stack(inference={"podTemplate": template}), build_pool(podTemplate=template)]


def test_without_a_template_a_pod_says_nothing_of_where_it_runs_but_that_it_is_spread() -> None:
    spec = pod_of(build_stack())["spec"]
    assert not set(EXTRAS) & spec.keys()
    assert len(spec["topologySpreadConstraints"]) == 2


@pytest.mark.parametrize("kind", [0, 1], ids=["stack", "pool"])
def test_everything_of_a_template_is_on_the_pod(kind: int) -> None:
    template = {
        "labels": {"user.rlm-operator.dev/team": "blue", "kueue.x-k8s.io/queue-name": "q"},
        "annotations": {"prometheus.io/scrape": "true"},
        "nodeSelector": {"disktype": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "login"}],
    }
    pod = pod_of(both(template)[kind])
    assert template["labels"].items() <= pod["metadata"]["labels"].items()  # type: ignore[attr-defined]  # a dict
    assert pod["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
    for field in ("nodeSelector", "tolerations", "priorityClassName", "imagePullSecrets"):
        assert pod["spec"][field] == template[field]


@pytest.mark.parametrize(
    "key",
    [
        "app",
        "tier",
        "pod-template-hash",
        "app.kubernetes.io/name",
        "app.kubernetes.io/component",
        "rlm-operator.dev/network",
        "rlm-operator.dev/sandbox-pool",
        "azure.workload.identity/use",
        "user.rlm-operator.dev.evil.example/x",
        "evil/user.rlm-operator.dev/x",
        "user.rlm-operator.dev/x\n",
        "user.rlm-operator.dev/",
    ],
)
def test_a_label_by_which_others_may_select_pods_is_refused(key: str) -> None:
    with pytest.raises(SpecInvalidError, match="put labels of your own under user"):
        both({"labels": {key: "x"}})


@pytest.mark.parametrize(
    "key",
    [
        "k8s.v1.cni.cncf.io/networks",
        "cni.projectcalico.org/ipAddrs",
        "container.apparmor.security.beta.kubernetes.io/sandbox",
        "sidecar.istio.io/userVolume",
        "vault.hashicorp.com/agent-inject",
        "iam.amazonaws.com/role",
        "io.kubernetes.cri-o.Devices",
        "rlm-operator.dev/config-hash",
        "note",
    ],
)
def test_an_annotation_that_changes_what_a_pod_may_is_refused(key: str) -> None:
    with pytest.raises(SpecInvalidError, match="others change networks, volumes or rights"):
        both({"annotations": {key: "x"}})


@pytest.mark.parametrize(
    "field",
    [
        "volumes",
        "initContainers",
        "containers",
        "serviceAccountName",
        "securityContext",
        "hostNetwork",
        "hostPID",
        "nodeName",
        "schedulerName",
        "automountServiceAccountToken",
    ],
)
def test_what_could_loosen_a_pod_is_not_a_field(field: str) -> None:
    with pytest.raises(SpecInvalidError, match=f"podTemplate.{field}: unknown field"):
        both({field: {}})


def test_affinity_over_other_namespaces_is_not_a_field() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}, "namespaceSelector": {}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    with pytest.raises(SpecInvalidError, match="namespaceSelector: unknown field"):
        both({"affinity": affinity})


def test_labels_of_the_operator_win_over_a_template_that_was_not_checked() -> None:
    """The second wall: even a template that never met a check can not spoof."""
    labels = {"app.kubernetes.io/component": "inference", "rlm-operator.dev/network": "other-wasm", "app": "other"}
    annotations = {"rlm-operator.dev/config-hash": "frozen"}
    hostile = PodTemplate.model_construct(labels=labels, annotations=annotations)
    pool = build_pool("p")
    unchecked = pool.spec.model_copy(update={"pod_template": hostile})
    workspace = build_sandbox_workspace(PLANE, type(pool)(pool.identity, unchecked), "image:1")
    pod = build_pod_template(PLANE, workspace)
    assert PLANE.labels.items() <= pod["metadata"]["labels"].items()
    assert pod["metadata"]["labels"]["rlm-operator.dev/network"] == "p-wasm"
    assert pod["metadata"]["annotations"]["rlm-operator.dev/config-hash"] == workspace.config_digest


def test_a_users_affinity_is_kept_beside_the_pools_own_preference() -> None:
    required = [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "cache"}}}]
    preferred = [{"weight": 1, "podAffinityTerm": required[0]}]
    affinity = {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": required,
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        }
    }
    near = pod_of(build_pool(podTemplate={"affinity": affinity}))["spec"]["affinity"]["podAffinity"]
    assert near["requiredDuringSchedulingIgnoredDuringExecution"] == required
    own, users = near["preferredDuringSchedulingIgnoredDuringExecution"]
    assert own["podAffinityTerm"]["labelSelector"]["matchLabels"]["rlm-operator.dev/sandbox-pool"] == "shared"
    assert users == preferred[0]


def test_a_spot_pool_prefers_such_nodes_and_puts_up_with_their_taints() -> None:
    template = PodTemplate.model_validate({"tolerations": [{"key": "mine", "operator": "Exists"}]})
    fields = build_placement(PLANE, Placement(template, (), Scheduling(spot=True)))
    assert SPOT_TAINT in fields["tolerations"]
    assert fields["tolerations"][-1] == {"key": "mine", "operator": "Exists"}
    preferred = fields["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    named = {term["preference"]["matchExpressions"][0]["key"] for term in preferred}
    assert named == {toleration["key"] for toleration in fields["tolerations"]} - {"mine"}


def test_scheduling_can_turn_off_what_a_pool_prefers_and_name_a_runtime() -> None:
    scheduling = {"coLocateWithInference": False, "topologySpread": False, "runtimeClassName": "gvisor"}
    spec = pod_of(build_pool(scheduling=scheduling))["spec"]
    assert spec["runtimeClassName"] == "gvisor"
    assert not {"affinity", "topologySpreadConstraints"} & spec.keys()
