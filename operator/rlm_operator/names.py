"""Names, labels and ports that the children of a stack or pool share.

Every builder uses these; design record 0001 lists the names. Pure: strings only.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

GROUP: Final = "rlm-operator.dev"
API_VERSION: Final = f"{GROUP}/v1alpha1"
FIELD_MANAGER: Final = "rlm-operator"

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
NETWORK_LABEL: Final = f"{GROUP}/network"
"""On pods: which NetworkPolicy selects them."""
POOL_LABEL: Final = f"{GROUP}/sandbox-pool"
"""On inference pods: the pool that lets them in."""
HASH_ANNOTATION: Final = f"{GROUP}/applied-hash"
"""On children: digest of what the operator wants, without ownership."""
CONFIG_ANNOTATION: Final = f"{GROUP}/config-hash"
"""On pod templates: digest of the ConfigMap, so that changed settings roll the pods."""
GENERATED_ANNOTATION: Final = f"{GROUP}/generated-keys"
"""On Secrets that the operator makes: entries that hold random data, comma-separated."""

ISSUED_ANNOTATION: Final = f"{GROUP}/issued-certificate"
"""On Secrets that the operator fills with certificates: entries, comma-separated."""

API_PORT: Final = 8000
METRICS_PORT: Final = 9090
API_KEY: Final = "api-key"
"""Entry of a key Secret that stacks and users read."""

CALLER_PREFIX: Final = "rlmstack."
"""Of entries of a pool's key Secret that the operator adds and removes; others are the user's."""

INFERENCE: Final = "inference"
SANDBOX: Final = "sandbox"


def operator_version() -> str:
    """Version of this distribution, which is also the tag of its images."""
    return version("rlm-operator")


def stack_workload(stack: str) -> str:
    """Deployment, ServiceAccount, ConfigMap, PDB, HPA and NetworkPolicy of a stack."""
    return f"{stack}-rlm"


def tools_config_map(stack: str) -> str:
    """ConfigMap with the file that declares a stack's tools."""
    return f"{stack}-rlm-tools"


def pool_workload(pool: str) -> str:
    """Deployment, Service, ServiceAccount, ConfigMap, PDB, HPA and NetworkPolicy of a pool."""
    return f"{pool}-wasm"


def pool_pods_service(pool: str) -> str:
    """Headless Service of a pool: one address per pod."""
    return f"{pool}-wasm-pods"


def stack_pods_service(stack: str) -> str:
    """Headless Service of a stack: one address per pod, also of those that are not ready."""
    return f"{stack}-rlm-pods"


def pool_demand(pool: str) -> str:
    """Service of a pool by which KEDA finds the inference pods that say how many sessions they want."""
    return f"{pool}-wasm-demand"


def stack_key_secret(stack: str) -> str:
    """Secret that the operator makes for callers of a stack."""
    return f"{stack}-rlm-keys"


def pool_key_secret(pool: str) -> str:
    """Secret that the operator makes for callers of a pool."""
    return f"{pool}-wasm-keys"


def stack_sandbox_key_secret(stack: str) -> str:
    """Secret with a stack's own key of its pool."""
    return f"{stack}-rlm-sandbox-key"


def pool_tls_secret(pool: str) -> str:
    """Secret with the certificate of a pool's servers, made by the operator."""
    return f"{pool}-wasm-tls"


def pool_client_tls_secret(pool: str) -> str:
    """Secret with a client certificate for callers that are no stacks, made by the operator."""
    return f"{pool}-wasm-client-tls"


def pool_authority_secret(pool: str) -> str:
    """Secret with the certificate authority of a pool; nothing mounts it."""
    return f"{pool}-wasm-ca"


def stack_sandbox_tls_secret(stack: str) -> str:
    """Secret with a stack's client certificate for its pool, made by the operator."""
    return f"{stack}-rlm-sandbox-tls"


def pool_certificate(pool: str) -> str:
    """Certificate and Secret of cert-manager for a pool's servers."""
    return f"{pool}-wasm-certificate"


def stack_certificate(stack: str) -> str:
    """Certificate and Secret of cert-manager for a stack as a client of its pool."""
    return f"{stack}-rlm-sandbox-certificate"


def caller_entry(namespace: str, stack: str) -> str:
    """Entry of a pool's key Secret that holds a stack's key; also the caller's name in the sandbox's audit log."""
    return f"{CALLER_PREFIX}{namespace}.{stack}"


def stack_url(stack: str, namespace: str, port: int) -> str:
    """Address of a stack's endpoint within the cluster."""
    host = f"http://{stack}.{namespace}.svc"
    return host if port == 80 else f"{host}:{port}"


def stack_pods_url(stack: str, namespace: str) -> str:
    """Address of a stack for its own pods, which find each other by it."""
    return f"http://{stack_pods_service(stack)}.{namespace}.svc:{API_PORT}"


def pool_url(pool: str, namespace: str, *, tls: bool) -> str:
    """Address of a pool within the cluster."""
    return f"{'https' if tls else 'http'}://{pool_workload(pool)}.{namespace}.svc:{API_PORT}"


def pool_pods_url(pool: str, namespace: str, *, tls: bool) -> str:
    """Address of a pool for who finds its pods by name, and keeps to one for each session."""
    return f"{'https' if tls else 'http'}://{pool_pods_service(pool)}.{namespace}.svc:{API_PORT}"


def selector_labels(component: str, instance: str) -> dict[str, str]:
    """Labels that Deployments, Services, PDBs and spread constraints select pods by; they never change."""
    return {
        "app.kubernetes.io/name": {INFERENCE: "rlm-inference", SANDBOX: "wasm-repl"}[component],
        "app.kubernetes.io/instance": instance,
        "app.kubernetes.io/component": component,
    }


def object_labels(component: str, instance: str) -> dict[str, str]:
    """Labels of every child. `app` is the short name that people type."""
    labels = selector_labels(component, instance)
    return {
        **labels,
        "app": labels["app.kubernetes.io/name"],
        "app.kubernetes.io/part-of": "rlm-operator",
        MANAGED_BY_LABEL: FIELD_MANAGER,
    }
