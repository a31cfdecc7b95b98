"""Ways in which people, tools and admission webhooks weaken what the operator made, with the item that must notice."""

from __future__ import annotations

from collections.abc import Callable

from rlm_operator.checklist.assessment import Item
from rlm_operator.checklist.evidence import PlaneEvidence
from rlm_operator.names import INFERENCE, SANDBOX
from rlm_operator.resource import Manifest

SIDECAR: Manifest = {"name": "istio-proxy", "image": "istio/proxy:1"}


def container(plane: PlaneEvidence) -> Manifest:
    found: Manifest = template(plane)["containers"][0]
    return found


def template(plane: PlaneEvidence) -> Manifest:
    assert plane.deployment is not None
    spec: Manifest = plane.deployment["spec"]["template"]["spec"]
    return spec


def settings(plane: PlaneEvidence) -> Manifest:
    assert plane.config_map is not None
    data: Manifest = plane.config_map["data"]
    return data


def variable(plane: PlaneEvidence, name: str, value: str) -> None:
    env = container(plane)["env"]
    env[:] = [entry for entry in env if entry["name"] != name] + [{"name": name, "value": value}]


Weakening = Callable[[PlaneEvidence], object]

WEAKENINGS: list[tuple[str, Item, str, Weakening, str]] = [
    (
        "key in a variable",
        Item.LLM_KEYS,
        INFERENCE,
        lambda p: variable(p, "OPENAI_API_KEY", "k"),
        "variable OPENAI_API_KEY",
    ),
    (
        "key by its form",
        Item.LLM_KEYS,
        INFERENCE,
        lambda p: variable(p, "EXTRA", "Authorization: Bearer abcdef0123456789"),
        "variable EXTRA looks like a key",
    ),
    (
        "key in the ConfigMap",
        Item.LLM_KEYS,
        INFERENCE,
        lambda p: settings(p).update({"extra-headers": '{"x-api-key": "abcdef0123456789"}'}),
        "ConfigMap demo-rlm: entry extra-headers",
    ),
    (
        "key as an argument",
        Item.LLM_KEYS,
        INFERENCE,
        lambda p: container(p).update(args=["--api-key=abcdef0123456789"]),
        "argument of container inference",
    ),
    (
        "key file outside of any Secret",
        Item.LLM_KEYS,
        INFERENCE,
        lambda p: variable(p, "RLM_MODEL_API_KEY_FILE", "/tmp/key"),
        "RLM_MODEL_API_KEY_FILE is /tmp/key, where no Secret is mounted",
    ),
    (
        "model's Secret in the sandbox",
        Item.SANDBOX_KEYS,
        SANDBOX,
        lambda p: template(p)["volumes"].append({"name": "x", "secret": {"secretName": "llm-secrets"}}),
        "Secret llm-secrets, which holds the key of a model",
    ),
    (
        "model's Secret as a variable of the sandbox",
        Item.SANDBOX_KEYS,
        SANDBOX,
        lambda p: container(p)["env"].append(
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "llm-secrets", "key": "api-key"}}}
        ),
        "Secret llm-secrets, which holds the key of a model",
    ),
    (
        "another Secret in the sandbox",
        Item.SANDBOX_KEYS,
        SANDBOX,
        lambda p: container(p).update(envFrom=[{"secretRef": {"name": "cloud"}}]),
        "Secret cloud, for which a sandbox has no use",
    ),
    (
        "key written out in the sandbox",
        Item.SANDBOX_KEYS,
        SANDBOX,
        lambda p: variable(p, "OPENAI_API_KEY", "k"),
        "variable OPENAI_API_KEY",
    ),
    (
        "no policy",
        Item.TRAFFIC,
        SANDBOX,
        lambda p: p.policies[0]["spec"].update(podSelector={"matchLabels": {"app": "other"}}),
        "no NetworkPolicy restricts the ingress of demo-wasm",
    ),
    (
        "policy of one direction",
        Item.TRAFFIC,
        INFERENCE,
        lambda p: p.policies[0]["spec"].update(policyTypes=["Ingress"]),
        "no NetworkPolicy restricts the egress of demo-rlm",
    ),
    (
        "sandbox may connect out",
        Item.TRAFFIC,
        SANDBOX,
        lambda p: p.policies[0]["spec"].update(egress=[{"to": [{"podSelector": {}}]}]),
        "NetworkPolicy demo-wasm lets sandboxes connect out",
    ),
    (
        "everybody may call the sandbox",
        Item.TRAFFIC,
        SANDBOX,
        lambda p: p.policies[0]["spec"]["ingress"].append({}),
        "lets everybody connect to sandboxes",
    ),
    (
        "inference may connect to anything",
        Item.TRAFFIC,
        INFERENCE,
        lambda p: p.policies[0]["spec"]["egress"].append({"ports": [{"port": 443}]}),
        "lets demo-rlm connect to anything",
    ),
    (
        "metadata address",
        Item.TRAFFIC,
        INFERENCE,
        lambda p: p.policies[0]["spec"]["egress"].append({"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}),
        "metadata address 169.254.169.254",
    ),
    (
        "sidecar without limits",
        Item.LIMITS,
        SANDBOX,
        lambda p: template(p)["containers"].append(SIDECAR),
        "Deployment demo-wasm: container istio-proxy has no cpu and no memory limit",
    ),
    (
        "init container without a memory limit",
        Item.LIMITS,
        INFERENCE,
        lambda p: template(p).update(initContainers=[{**SIDECAR, "resources": {"limits": {"cpu": "1"}}}]),
        "container istio-proxy has no memory limit",
    ),
    (
        "other program",
        Item.WASM,
        SANDBOX,
        lambda p: container(p).update(command=["python"]),
        "container sandbox runs python",
    ),
    (
        "no sandbox container",
        Item.WASM,
        SANDBOX,
        lambda p: container(p).update(name="other"),
        "Deployment demo-wasm: has no container sandbox",
    ),
    ("pyodide", Item.WASM, SANDBOX, lambda p: settings(p).update(image="pyodide"), "image pyodide"),
    (
        "code goes elsewhere",
        Item.WASM,
        INFERENCE,
        lambda p: variable(p, "WASM_SERVICE_URL", "http://python.team.svc:8000"),
        "code goes to http://python.team.svc:8000",
    ),
    (
        "timeout of a year",
        Item.TIMEOUTS,
        SANDBOX,
        lambda p: settings(p).update({"timeout-seconds": "31536000"}),
        "SANDBOX_TIMEOUT_SECONDS is 31536000",
    ),
    (
        "no timeout",
        Item.TIMEOUTS,
        INFERENCE,
        lambda p: settings(p).pop("timeout-seconds"),
        "RLM_TIMEOUT_SECONDS is not set",
    ),
    (
        "privileged",
        Item.PRIVILEGES,
        SANDBOX,
        lambda p: container(p)["securityContext"].update(privileged=True),
        "container sandbox is privileged",
    ),
    (
        "escalation",
        Item.PRIVILEGES,
        SANDBOX,
        lambda p: container(p).update(securityContext={"capabilities": {"drop": ["ALL"]}}),
        "does not forbid privilege escalation",
    ),
    (
        "capabilities",
        Item.PRIVILEGES,
        SANDBOX,
        lambda p: container(p)["securityContext"].update(capabilities={"add": ["NET_RAW"]}),
        "has the capabilities NET_RAW",
    ),
    (
        "network of the node",
        Item.PRIVILEGES,
        INFERENCE,
        lambda p: template(p).update(hostNetwork=True),
        "hostNetwork is on",
    ),
    (
        "folder of the node",
        Item.PRIVILEGES,
        INFERENCE,
        lambda p: template(p)["volumes"].append({"name": "root", "hostPath": {"path": "/"}}),
        "volume root is a folder of the node",
    ),
    (
        "port of the node",
        Item.PRIVILEGES,
        INFERENCE,
        lambda p: container(p)["ports"][0].update(hostPort=8000),
        "takes a port of the node",
    ),
    (
        "root allowed",
        Item.USERS,
        SANDBOX,
        lambda p: template(p)["securityContext"].pop("runAsNonRoot"),
        "container sandbox may run as root",
    ),
    (
        "user 0",
        Item.USERS,
        SANDBOX,
        lambda p: container(p)["securityContext"].update(runAsUser=0),
        "container sandbox runs as user 0",
    ),
    (
        "image by tag",
        Item.DIGESTS,
        SANDBOX,
        lambda p: container(p).update(image="registry.test/sandbox:1"),
        "container sandbox runs registry.test/sandbox:1, a tag",
    ),
    (
        "no audit log",
        Item.AUDIT,
        INFERENCE,
        lambda p: settings(p).update({"audit-log": "false"}),
        "RLM_AUDIT_LOG is false",
    ),
    (
        "audit log overridden",
        Item.AUDIT,
        SANDBOX,
        lambda p: container(p)["env"].append({"name": "SANDBOX_AUDIT_LOG", "value": "false"}),
        "SANDBOX_AUDIT_LOG is false",
    ),
]
"""Name, item that fails, plane that is changed, how, and words of the message."""
