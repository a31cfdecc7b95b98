"""What a spec may say of its pods beyond their container: metadata, where they run, how important they are.

Volumes, further containers, host settings, security settings and the service account are not among it, so that pods
stay "restricted" by Pod Security whatever a spec says. Design record 0029 says why each key is allowed.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rlm_operator.spec.affinity import Affinity
from rlm_operator.spec.base import SecretRef, SpecModel
from rlm_operator.spec.labels import LABEL_KEY, LabelKey, LabelValue

_NAME: Final = r"/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_USUAL_LABEL: Final = re.compile(
    rf"^((kueue[.]x-k8s[.]io|user[.]rlm-operator[.]dev){_NAME}|istio[.]io/dataplane-mode|sidecar[.]istio[.]io/inject)$"
)
_USUAL_ANNOTATION: Final = re.compile(
    r"^((cluster-autoscaler[.]kubernetes[.]io|co[.]elastic[.]logs|fluentbit[.]io|karpenter[.]sh|prometheus[.]io"
    rf"|user[.]rlm-operator[.]dev){_NAME}|kubectl[.]kubernetes[.]io/restartedAt|linkerd[.]io/inject"
    r"|kubernetes[.]io/(in|e)gress-bandwidth|sidecar[.]istio[.]io/inject)$"
)
_CONTROL_PLANE: Final = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


def _usual_labels(labels: dict[str, str]) -> dict[str, str]:
    if not all(_USUAL_LABEL.fullmatch(key) for key in labels):
        raise ValueError(
            "podTemplate.labels takes keys that begin with user.rlm-operator.dev/ or kueue.x-k8s.io/, and "
            "sidecar.istio.io/inject and istio.io/dataplane-mode: others could make the pods answer for Services, or "
            "pass policies, that are not theirs; put labels of your own under user.rlm-operator.dev/"
        )
    return labels


def _usual_annotations(annotations: dict[str, str]) -> dict[str, str]:
    if not all(_USUAL_ANNOTATION.fullmatch(key) for key in annotations):
        raise ValueError(
            "podTemplate.annotations takes keys that begin with user.rlm-operator.dev/, prometheus.io/, "
            "cluster-autoscaler.kubernetes.io/, karpenter.sh/, fluentbit.io/ or co.elastic.logs/, and "
            "sidecar.istio.io/inject, linkerd.io/inject, kubectl.kubernetes.io/restartedAt, "
            "kubernetes.io/ingress-bandwidth and kubernetes.io/egress-bandwidth: others change networks, volumes or "
            "rights of pods; put annotations of your own under user.rlm-operator.dev/"
        )
    return annotations


def _node_labels(labels: dict[str, str]) -> dict[str, str]:
    if not all(re.fullmatch(LABEL_KEY, key) for key in labels):
        raise ValueError(
            "podTemplate.nodeSelector takes labels of nodes: write keys such as kubernetes.io/arch or disktype"
        )
    return labels


def _ordinary_priority(name: str) -> str:
    if name.startswith("system-"):
        raise ValueError(
            "podTemplate.priorityClassName must not begin with system-, which is for the cluster's own pods: "
            "name a PriorityClass of yours"
        )
    return name


Labels = Annotated[dict[str, LabelValue], Field(max_length=32), AfterValidator(_usual_labels)]
Annotations = Annotated[
    dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=32), AfterValidator(_usual_annotations)
]
NodeLabels = Annotated[dict[str, LabelValue], Field(max_length=16), AfterValidator(_node_labels)]
PriorityClass = Annotated[
    str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"), AfterValidator(_ordinary_priority)
]


class Toleration(SpecModel):
    """A taint that pods put up with. One without a key would put up with every taint, so there is none."""

    key: LabelKey
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Annotated[int | None, Field(ge=0, le=2_147_483_647)] = None

    @model_validator(mode="after")
    def _tolerable(self) -> Self:
        if self.key in _CONTROL_PLANE:
            raise ValueError(
                "podTemplate.tolerations must not name the taint of control-plane nodes, "
                "which run what the whole cluster depends on: let the pods run on other nodes"
            )
        if self.operator == "Exists" and self.value:
            raise ValueError("a toleration with operator Exists takes no value: remove value, or write operator Equal")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError(
                "tolerationSeconds counts with effect NoExecute only: write effect NoExecute, or remove it"
            )
        return self


class PodTemplate(SpecModel):
    """Additions to the pods; what the operator sets itself always wins."""

    labels: Labels | None = None
    annotations: Annotations | None = None
    node_selector: NodeLabels | None = None
    tolerations: Annotated[list[Toleration] | None, Field(max_length=16)] = None
    affinity: Affinity | None = None
    priority_class_name: PriorityClass | None = None
    image_pull_secrets: Annotated[list[SecretRef] | None, Field(max_length=8)] = None
