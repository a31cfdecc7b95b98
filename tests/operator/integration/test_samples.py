"""Every file of config/samples, as its user applies it: a dry run, then really, to the conditions without pods.

Further samples are found by themselves. The Secrets and ConfigMaps of a sample are made by the commands in its
comments, so those are tested too; the files that they name are made here.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.crd import schema_of
from tests.operator.integration.samples import API_VERSION, SAMPLES, read_manifests
from tests.operator.integration.tenant import Tenant

FILES: Final = sorted(SAMPLES.glob("*.yaml"))
IN_SEVERAL_NAMESPACES: Final = "shared-pool-elsewhere"
"""Its pool's namespace is not there, and the key is the pool's to give."""

OF_THE_CLUSTER: Final[dict[str, list[Object]]] = {
    "scheduling": [
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "research"}, "value": 10},
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "gvisor"}, "handler": "runsc"},
    ]
}
"""What an administrator makes, by the sample that names it."""


MADE: Final = ("kubectl create secret generic ", "kubectl create configmap ")
FROM_FILE: Final = "--from-file="


def commands(sample: Path, folder: Path) -> list[list[str]]:
    """`kubectl create …` of the comments, without kubectl; `…` stands for any value. Their files are in `folder`."""
    comments = "\n".join(line[1:] for line in sample.read_text().splitlines() if line.startswith("#"))
    lines = map(str.strip, re.sub(r"\\\n", " ", comments).splitlines())
    return [[_with_file(word, folder) for word in shlex.split(line)[1:]] for line in lines if line.startswith(MADE)]


def _with_file(word: str, folder: Path) -> str:
    """`--from-file=ENTRY=PATH` or `--from-file=PATH`, with a path where there is a file."""
    if not word.startswith(FROM_FILE):
        return word
    entry, _, path = word.removeprefix(FROM_FILE).rpartition("=")
    file = folder / Path(path).name
    file.write_text("content")
    return f"{FROM_FILE}{entry or file.name}={file}"


def resources(sample: Path) -> list[Object]:
    return [manifest for manifest in read_manifests(sample) if manifest["apiVersion"] == API_VERSION]


def expect_no_trouble(tenant: Tenant, kind: str, name: str) -> None:
    """Nothing that was asked for is refused, but for what an API that this cluster has not would do."""

    def is_fine() -> bool:
        degraded = tenant.condition(kind, name, "Degraded")
        return degraded is not None and (degraded["status"] == "False" or degraded["reason"] == "ApiMissing")

    eventually(is_fine, f"{kind} {name} without trouble")


@pytest.mark.parametrize("sample", FILES, ids=lambda path: path.stem)
def test_a_sample_is_accepted_and_reaches_its_conditions(tenant: Tenant, sample: Path, tmp_path: Path) -> None:
    tenant.kubectl.run("apply", "-n", tenant.namespace, "--dry-run=server", "-f", str(sample))
    if sample.stem in OF_THE_CLUSTER:
        tenant.kubectl.apply(OF_THE_CLUSTER[sample.stem])
    for command in commands(sample, tmp_path):
        tenant.kubectl.run(*command, "-n", tenant.namespace)
    tenant.apply_file(sample)
    for resource in resources(sample):
        kind, name = resource["kind"].lower(), resource["metadata"]["name"]
        expect_no_trouble(tenant, kind, name)
        if sample.stem != IN_SEVERAL_NAMESPACES:
            tenant.expect_condition(kind, name, "SecretsReady", "True")
        tenant.expect("deployment", f"{name}-{'rlm' if kind == 'rlmstack' else 'wasm'}")


@pytest.mark.parametrize("sample", FILES, ids=lambda path: path.stem)
def test_a_sample_says_what_it_is_for_and_is_short(sample: Path) -> None:
    lines = sample.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 100


def test_every_feature_is_in_some_sample() -> None:
    """The fields of both kinds, and those of a stack's two large parts."""
    specs = [(each["kind"], each["spec"]) for sample in FILES for each in resources(sample)]
    stacks = [spec for kind, spec in specs if kind == "RLMStack"]
    pools = [spec for kind, spec in specs if kind == "SandboxPool"]
    schema = schema_of("rlmstacks")["properties"]["spec"]["properties"]
    used = {
        "stack": {field for spec in stacks for field in spec},
        "rlm": {field for spec in stacks for field in spec.get("rlm", {})},
        "inference": {field for spec in stacks for field in spec.get("inference", {})},
        "pool": {field for spec in [*pools, *(spec.get("sandbox", {}) for spec in stacks)] for field in spec},
    }
    there = {
        "stack": set(schema),
        "rlm": set(schema["rlm"]["properties"]),
        "inference": set(schema["inference"]["properties"]),
        "pool": set(schema["sandbox"]["properties"]),
    }
    assert {part: fields - used[part] for part, fields in there.items()} == {part: set() for part in there}
