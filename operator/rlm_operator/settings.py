"""Settings of the operator: command-line options, each also a variable `RLM_OPERATOR_…`; options win.

Parsed once by `__main__.py`.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rlm_operator.bounds import Bounds, parse_networks
from rlm_operator.dns_servers import parse_dns_servers
from rlm_operator.inputs import Images, choose_images
from rlm_operator.trust.authority import Lifetimes


class Settings(BaseSettings):
    """Reconciles RLMStack and SandboxPool resources of a Kubernetes cluster.

    Every option can also be given as a variable: --inference-image is RLM_OPERATOR_INFERENCE_IMAGE.
    """

    model_config = SettingsConfigDict(
        env_prefix="RLM_OPERATOR_",
        cli_kebab_case=True,
        cli_prog_name="python -m rlm_operator",
        cli_hide_none_type=True,
        cli_avoid_json=True,
        extra="ignore",
    )

    kubeconfig: Annotated[
        Path | None,
        Field(description="kubeconfig file; without it the pod's account, or else the usual kubeconfig, is used"),
    ] = None
    context: Annotated[str | None, Field(description="context of the kubeconfig")] = None
    namespaces: Annotated[
        str, Field(description="namespaces to serve, comma-separated; empty serves the whole cluster")
    ] = ""
    inference_image: Annotated[
        str | None, Field(description="image of the inference pods; the usual one has this version as its tag")
    ] = None
    sandbox_image: Annotated[
        str | None, Field(description="image of the sandbox pods; the usual one has this version as its tag")
    ] = None
    sandbox_scientific_image: Annotated[
        str | None,
        Field(description="image of the pods of scientific pools; without it --sandbox-image, if that is set"),
    ] = None
    keda_namespace: Annotated[
        str, Field(description="namespace of KEDA, which reads the metrics of inference pods whose pool it scales")
    ] = "keda"
    workers: Annotated[int, Field(description="resources that are reconciled at once", ge=1, le=64)] = 8
    resync_seconds: Annotated[
        float, Field(description="time between full lists, which repair what a watch lost", ge=1, le=3600)
    ] = 120
    lease_namespace: Annotated[
        str,
        Field(description="namespace of the Lease by which several operators choose a leader; empty: without election"),
    ] = ""
    lease_seconds: Annotated[
        int,
        Field(description="time after which another operator takes over from one that is silent", ge=3, le=600),
    ] = 15
    allowed_llm_hosts: Annotated[
        str,
        Field(
            description="hosts that stacks may name in any address (models, tools, traces, storage), comma-separated: "
            "api.openai.com, *.example.com for all names below, NAME.NAMESPACE.svc for a Service; empty allows all"
        ),
    ] = ""
    allowed_egress_cidrs: Annotated[
        str,
        Field(
            description="ranges that hold every address that stacks may connect to, comma-separated: of addresses that "
            "they name, of names that they name, and of egress rules; empty allows all"
        ),
    ] = ""
    refused_cidrs: Annotated[
        str,
        Field(
            description="ranges that no stack may name, comma-separated, besides link-local and loopback addresses, "
            "cloud metadata, nodes and the API server"
        ),
    ] = ""
    secret_opt_in: Annotated[
        str | None,
        Field(
            description="label, KEY or KEY=VALUE, that a Secret must carry before pods of a stack or pool may mount "
            "it; Secrets that the operator makes need none",
            pattern=r"^[-A-Za-z0-9._/]{1,316}(=[-A-Za-z0-9._]{0,63})?$",
        ),
    ] = None
    monitoring_namespaces: Annotated[
        str, Field(description="namespaces whose pods may scrape the metrics port of all pods, comma-separated")
    ] = ""
    dns_servers: Annotated[
        str,
        Field(
            description="where the cluster's DNS answers besides port 53 of kube-system and of 169.254.20.10, "
            "comma-separated: NAMESPACE:PORT with the port of the pods, such as openshift-dns:5353, or ADDRESS:PORT"
        ),
    ] = ""
    certificate_seconds: Annotated[
        float, Field(description="life of the certificates that the operator issues; renewed at two thirds", ge=8)
    ] = 30 * 86400
    authority_seconds: Annotated[
        float, Field(description="life of a pool's certificate authority; replaced at two thirds, with overlap", ge=16)
    ] = 365 * 86400
    certificate_settle_seconds: Annotated[
        float, Field(description="longest time until pods see a changed Secret; an authority signs after it", ge=1)
    ] = 600
    metrics_host: Annotated[str, Field(description="address of /healthz, /readyz and /metrics")] = "0.0.0.0"
    metrics_port: Annotated[int, Field(description="port of /healthz, /readyz and /metrics", ge=0, le=65535)] = 8080
    otlp_endpoint: Annotated[
        str | None,
        Field(
            description="OTLP/HTTP collector that traces are sent to, such as http://collector:4318; unset: that of "
            "OTEL_EXPORTER_OTLP_ENDPOINT, if any",
            pattern=r"^https?://[^\s/]+(/\S*)?$",
        ),
    ] = None
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="least severe level")] = "INFO"
    log_format: Annotated[Literal["json", "text"], Field(description="form of log lines")] = "json"

    @model_validator(mode="after")
    def _lifetimes_fit(self) -> Self:
        if self.certificate_seconds < 4 * self.certificate_settle_seconds:
            raise ValueError("--certificate-seconds must be at least four times --certificate-settle-seconds: raise it")
        if self.authority_seconds < 2 * self.certificate_seconds:
            raise ValueError("--authority-seconds must be at least twice --certificate-seconds: raise it")
        return self

    @property
    def lifetimes(self) -> Lifetimes:
        authority, certificate = timedelta(seconds=self.authority_seconds), timedelta(seconds=self.certificate_seconds)
        return Lifetimes(authority, certificate, timedelta(seconds=self.certificate_settle_seconds))

    @property
    def images(self) -> Images:
        return choose_images(self.inference_image, self.sandbox_image, self.sandbox_scientific_image)

    @property
    def namespace_list(self) -> list[str]:
        return _listed(self.namespaces)

    @property
    def bounds(self) -> Bounds:
        return Bounds(
            allowed_hosts=tuple(host.lower() for host in _listed(self.allowed_llm_hosts)),
            allowed_cidrs=parse_networks(self.allowed_egress_cidrs),
            refused_cidrs=parse_networks(self.refused_cidrs),
            secret_label=self.secret_opt_in,
            monitoring_namespaces=tuple(_listed(self.monitoring_namespaces)),
            dns_servers=parse_dns_servers(self.dns_servers),
        )

    @field_validator("allowed_egress_cidrs", "refused_cidrs")
    @classmethod
    def _ranges(cls, text: str) -> str:
        parse_networks(text)
        return text

    @field_validator("dns_servers")
    @classmethod
    def _places(cls, text: str) -> str:
        parse_dns_servers(text)
        return text


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
