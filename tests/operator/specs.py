"""Custom resources for the unit tests: the samples, a small stack to vary, and hypothesis strategies for any spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from hypothesis import settings
from hypothesis import strategies as st

from rlm_operator.inputs import Images, Inputs
from rlm_operator.resource import Manifest, Pool, Stack, parse_resource
from tests.operator.setting_specs import optional, setting_specs

REPOSITORY: Final = Path(__file__).parents[2]
CRDS: Final = REPOSITORY / "crds"
SAMPLES: Final = sorted((REPOSITORY / "config" / "samples").glob("*.yaml"))
API_VERSION: Final = "rlm-operator.dev/v1alpha1"
IMAGES: Final = Images(
    inference="registry.test/inference:1",
    sandbox="registry.test/sandbox:1",
    sandbox_scientific="registry.test/sandbox-scientific:1",
)
INPUTS: Final = Inputs(images=IMAGES)
PROPERTY: Final = settings(deadline=None, max_examples=40)
"""Of every property test: the machine may be busy, so no deadline."""
MODEL: Final = {"name": "gpt-5", "baseURL": "https://api.openai.com/v1"}


def build_stack(name: str = "demo", uid: str = "", **spec: Any) -> Stack:
    """A parsed stack; `spec` replaces whole fields of the smallest valid one."""
    resource = parse_resource(_manifest("RLMStack", name, uid, {"model": MODEL, **spec}))
    assert isinstance(resource, Stack)
    return resource


def build_pool(name: str = "shared", uid: str = "", **spec: Any) -> Pool:
    resource = parse_resource(_manifest("SandboxPool", name, uid, spec))
    assert isinstance(resource, Pool)
    return resource


def one(children: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only child of a kind, or the one of that name."""
    [child] = [child for child in children if child["kind"] == kind and name in (None, child["metadata"]["name"])]
    return child


def load(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _manifest(kind: str, name: str, uid: str, spec: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": "team", "uid": uid, "generation": 1}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


names = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
namespaces = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
secret_names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?", fullmatch=True)
model_names = st.from_regex(r"[a-z][-a-z0-9/.:]{0,30}", fullmatch=True)
urls = st.sampled_from(
    [
        "https://api.openai.com/v1",
        "http://vllm:8000/v1",
        "http://vllm.models.svc.cluster.local:8000/v1",
        "https://203.0.113.7:8443/v1",
        "http://[2001:db8::7]/v1",
        "http://localhost:9000/v1",
    ]
)
quantities = st.sampled_from(["250m", "0.5", "1", "2", "512Mi", "1Gi", "1536Mi", "4Gi"])


speeds = optional(
    stabilizationWindowSeconds=st.integers(0, 3600),
    selectPolicy=st.sampled_from(["Max", "Min", "Disabled"]),
    policies=st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["Pods", "Percent"]), "value": st.integers(1, 1000), "periodSeconds": st.just(60)}
        ),
        max_size=2,
    ),
)
scalers = st.sampled_from(
    [{}, {"targetQueueLength": 7}, {"provider": "KEDA"}, {"provider": "KEDA", "scaleToZero": True}]
)


@st.composite
def workloads(draw: st.DrawFn) -> Manifest:
    """Replicas, autoscaling and a budget that go together."""
    workload: Manifest = {"replicas": draw(st.integers(0, 1000))}
    if draw(st.booleans()):
        least = draw(st.integers(1, 1000))
        workload["autoscaling"] = {"minReplicas": least, "maxReplicas": draw(st.integers(least, 1000))}
        workload["autoscaling"] |= draw(optional(behavior=optional(scaleUp=speeds, scaleDown=speeds)))
    floor = workload.get("autoscaling", {}).get("minReplicas", workload["replicas"])
    if floor > 1 and draw(st.booleans()):
        workload["disruptionBudget"] = draw(
            st.sampled_from([{"minAvailable": floor - 1}, {"maxUnavailable": 1}, {"maxUnavailable": "50%"}, {}])
        )
    return workload


resources = optional(
    requests=optional(cpu=st.sampled_from(["100m", "2"]), memory=st.sampled_from(["64Mi", "8Gi"])),
    limits=optional(cpu=st.sampled_from(["200m", "3"]), memory=st.sampled_from(["512Mi", "16Gi"])),
).filter(lambda parts: not ({"requests", "limits"} <= parts.keys() and parts["requests"] and parts["limits"]))
logging = optional(
    level=st.sampled_from(["DEBUG", "INFO", "WARNING", "ERROR"]),
    format=st.sampled_from(["json", "text"]),
    audit=st.booleans(),
)
selectors = st.sampled_from([{}, {"matchLabels": {"app": "notebook"}}])


@st.composite
def scaled_pools(draw: st.DrawFn) -> Manifest:
    """As `workloads`, with what pools alone may say. Only stacks of its namespace use a pool that may sleep."""
    workload: Manifest = draw(workloads())
    if "autoscaling" in workload:
        workload["autoscaling"] |= draw(scalers)
    if workload.get("autoscaling", {}).get("scaleToZero"):
        workload |= {"clients": [], "allowedNamespaces": []}
    return workload


pool_specs = st.builds(
    lambda parts, workload: {**parts, **workload},
    optional(
        suspend=st.booleans(),
        paused=st.booleans(),
        limits=optional(
            timeout=st.sampled_from(["500ms", "30s", "1h"]),
            memory=st.sampled_from(["32Mi", "512Mi"]),
            cpuShares=st.integers(2, 262144),
            maxSessions=st.integers(1, 10000),
            maxConcurrentExecutions=st.integers(1, 10000),
            maxQueue=st.integers(0, 10000),
            outputBytes=st.sampled_from(["1Ki", "64Mi"]),
        ),
        sessions=optional(
            idleTimeout=st.sampled_from(["1s", "24h", "1h30m"]),
            maxDuration=st.sampled_from(["1s", "8h", "168h"]),
            spares=st.integers(0, 1000),
        ),
        resources=resources,
        clients=st.lists(st.builds(lambda s: {"podSelector": s}, selectors), max_size=3),
        allowedNamespaces=st.lists(namespaces, max_size=3, unique=True),
        tls=st.sampled_from(
            [{}, {"mode": "Operator"}, {"mode": "Disabled"}, {"mode": "CertManager", "issuerRef": {"name": "pool-ca"}}]
        ),
        auth=optional(secretRef=st.builds(lambda name: {"name": name}, secret_names)),
        logging=logging,
    ),
    scaled_pools(),
)

pool_refs = st.builds(lambda name, parts: {"name": name, **parts}, names, optional(namespace=namespaces))

sub_models = st.one_of(
    st.builds(lambda name: {"name": name}, model_names),
    st.builds(lambda name, url: {"name": name, "baseURL": url, "keyless": True}, model_names, urls),
    st.builds(
        lambda name, url, secret: {"name": name, "baseURL": url, "apiKeySecretRef": {"name": secret}},
        model_names,
        urls,
        secret_names,
    ),
)

inference = st.builds(
    lambda parts, workload: {**parts, **workload},
    optional(
        servedModelName=model_names,
        terminationGracePeriodSeconds=st.integers(10, 86400),
        resources=resources,
        service=optional(type=st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]), port=st.integers(1, 65535)),
        auth=st.sampled_from([{}, {"mode": "Disabled"}, {"secretRef": {"name": "user-keys"}}]),
    ),
    workloads(),
)

network_policies = st.sampled_from(
    [
        {},
        {"management": "Unmanaged"},
        {"clients": [{"namespaceSelector": {"matchLabels": {"team": "gateway"}}}], "egress": {"mode": "Replace"}},
        {
            "egress": {
                "mode": "Extend",
                "rules": [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]}],
            }
        },
    ]
)


@st.composite
def stack_specs(draw: st.DrawFn) -> Manifest:
    spec: Manifest = {
        "model": {"name": draw(model_names), "baseURL": draw(urls)},
        "inference": draw(inference),
        "networkPolicy": draw(network_policies),
        "logging": draw(logging),
        "suspend": draw(st.booleans()),
        "rlm": draw(
            optional(
                maxIterations=st.integers(1, 1000),
                maxDepth=st.integers(0, 10),
                maxTokens=st.integers(1, 10**10),
                directBelowTokens=st.integers(0, 10**7),
                allowedModels=st.lists(model_names, max_size=3, unique=True),
            )
        ),
    }
    if draw(st.booleans()):
        spec["model"]["apiKeySecretRef"] = {"name": draw(secret_names), "key": "token"}
    if draw(st.booleans()):
        spec["subModel"] = draw(sub_models)
    where = draw(st.sampled_from(["sandbox", "sandboxPoolRef", ""]))
    if where:
        spec[where] = draw(pool_specs) if where == "sandbox" else draw(pool_refs)
    return draw(setting_specs(spec))


stacks = st.builds(lambda name, spec: build_stack(name, **spec), names, stack_specs())
pools = st.builds(lambda name, spec: build_pool(name, **spec), names, pool_specs)
