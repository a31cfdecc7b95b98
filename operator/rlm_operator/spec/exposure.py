"""How callers reach a plane: Services, and for a stack an Ingress or an HTTPRoute in front of one.

Annotations of these objects are read by load balancers and ingress controllers, which act with rights of their own, so
they have allow-lists as those of pods do (design record 0029).
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from rlm_operator.spec.base import SecretRef, SpecModel
from rlm_operator.spec.labels import LabelValue

_NAME: Final = r"/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_OF_SERVICES: Final = re.compile(
    r"^(service[.]beta[.]kubernetes[.]io|service[.]kubernetes[.]io|external-dns[.]alpha[.]kubernetes[.]io"
    r"|cloud[.]google[.]com|networking[.]gke[.]io|metallb[.]io|metallb[.]universe[.]tf|lbipam[.]cilium[.]io"
    rf"|user[.]rlm-operator[.]dev){_NAME}$"
)
_OF_ROUTES: Final = re.compile(
    r"^((nginx|alb|traefik)[.]ingress[.]kubernetes[.]io|haproxy[.]org|cert-manager[.]io|networking[.]gke[.]io"
    rf"|external-dns[.]alpha[.]kubernetes[.]io|user[.]rlm-operator[.]dev){_NAME}$"
)
_PRIVILEGED: Final = re.compile(r"snippet|secret|auth-")


def _service_annotations(annotations: dict[str, str]) -> dict[str, str]:
    if not all(_OF_SERVICES.fullmatch(key) for key in annotations):
        raise ValueError(
            "service.annotations takes keys of cloud load balancers (service.beta.kubernetes.io/, "
            "service.kubernetes.io/, cloud.google.com/, networking.gke.io/), metallb.io/, metallb.universe.tf/, "
            "lbipam.cilium.io/, external-dns.alpha.kubernetes.io/ and user.rlm-operator.dev/: "
            "put others under user.rlm-operator.dev/"
        )
    return annotations


def _route_annotations(annotations: dict[str, str]) -> dict[str, str]:
    if not all(_OF_ROUTES.fullmatch(key) and not _PRIVILEGED.search(key) for key in annotations):
        raise ValueError(
            "annotations of an Ingress or HTTPRoute take keys of nginx, alb and traefik.ingress.kubernetes.io/, "
            "haproxy.org/, cert-manager.io/, networking.gke.io/, external-dns.alpha.kubernetes.io/ and "
            "user.rlm-operator.dev/, without snippets, auth- and secrets, which work with the rights of the "
            "controller: leave them out"
        )
    return annotations


_Text = Annotated[str, Field(max_length=1024)]
ServiceAnnotations = Annotated[dict[str, _Text], Field(max_length=32), AfterValidator(_service_annotations)]
RouteAnnotations = Annotated[dict[str, _Text], Field(max_length=32), AfterValidator(_route_annotations)]
ServiceName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
Host = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^([*][.])?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$",
    ),
]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class ServiceSettings(SpecModel):
    """The Service that users call."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    port: Annotated[int, Field(ge=1, le=65535)] = 80
    annotations: ServiceAnnotations | None = None


class PoolService(SpecModel):
    """A further name of a pool's Service."""

    name: ServiceName | None = None


class IngressSettings(SpecModel):
    """An Ingress for one host, all paths."""

    host: Host
    class_name: ObjectName | None = None
    tls_secret_ref: SecretRef | None = None
    annotations: RouteAnnotations | None = None


class GatewayRef(SpecModel):
    """The Gateway that a route hangs on; its own `allowedRoutes` decide whether it may."""

    name: ObjectName
    namespace: Annotated[str | None, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = None
    section_name: Annotated[LabelValue | None, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = None


class HTTPRouteSettings(SpecModel):
    """An HTTPRoute of the Gateway API for one host, all paths."""

    host: Host
    gateway_ref: GatewayRef
    annotations: RouteAnnotations | None = None
