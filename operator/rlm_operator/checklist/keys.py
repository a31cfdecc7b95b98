"""Checks of keys: those of models are in Secrets only, and none of them reaches a sandbox. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rlm_operator.checklist.evidence import PlaneEvidence, SecretUse, secrets_at, secrets_in
from rlm_operator.checklist.findings import Findings
from runtime.redaction import redact

_KEY_NAME: Final = re.compile(r"(API_?KEY|ACCESS_?KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$")
_KEY_PATH_NAME: Final = re.compile(r"_KEYS?_(FILE|DIR)$")
_MODEL_KEY_FILE: Final = re.compile(r"MODEL_API_KEY_FILE$")
_NAMES_OF_MODELS: Final = re.compile(r"(MODEL_NAME|ALLOWED_MODELS)$")
"""Providers' names of models can look like keys by their prefix."""
_SANDBOX_SECRETS: Final = ("SANDBOX_API_KEYS_DIR", "SANDBOX_TLS_DIR")
"""Where a sandbox finds the Secrets that it has a use for: keys of its callers, its certificate."""


def check_model_keys(inference: PlaneEvidence) -> Findings:
    """No key in a variable, an argument or the ConfigMap, and every key file on a mounted Secret."""
    findings = Findings()
    _find_written_keys(inference, findings)
    for pod in inference.pod_specs:
        for container in pod.containers:
            for entry in container.get("env") or ():
                path = entry.get("value")
                if path and _KEY_PATH_NAME.search(entry["name"]) and not secrets_at(pod, container, path):
                    findings.add(f"{entry['name']} is {path}, where no Secret is mounted", pod.place)
    return findings


def check_sandbox_keys(sandbox: PlaneEvidence, model_secrets: set[SecretUse]) -> Findings:
    """The only Secrets are those that a sandbox has a use for, and none of them holds a model's key."""
    findings = Findings()
    _find_written_keys(sandbox, findings)
    for pod in sandbox.pod_specs:
        known = {
            use
            for container in pod.containers
            for entry in container.get("env") or ()
            if entry["name"] in _SANDBOX_SECRETS
            for use in secrets_at(pod, container, entry.get("value") or "")
        }
        for use in secrets_in(pod):
            if any(use.overlaps(model) for model in model_secrets):
                findings.add(f"brings in Secret {use.secret}, which holds the key of a model", pod.place)
            elif use not in known:
                findings.add(f"brings in Secret {use.secret}, for which a sandbox has no use", pod.place)
    return findings


def model_secrets(inference: PlaneEvidence) -> set[SecretUse]:
    """The Secrets that the inference pods read keys of models from."""
    return {
        use
        for pod in inference.pod_specs
        for container in pod.containers
        for entry in container.get("env") or ()
        if _MODEL_KEY_FILE.search(entry["name"])
        for use in secrets_at(pod, container, entry.get("value") or "")
    }


def _find_written_keys(plane: PlaneEvidence, findings: Findings) -> None:
    """Keys that are written where everybody with the right to read pods or ConfigMaps can see them."""
    for place, source, name, value in _written(plane):
        word = name.replace("-", "_").upper()
        looks = redact(value) != value and not _NAMES_OF_MODELS.search(word)
        if value and (looks or _KEY_NAME.search(word)):
            findings.add(f"{source} {name} looks like a key that is written out", place)


def _written(plane: PlaneEvidence) -> Iterator[tuple[str, str, str, str]]:
    """Place, kind of text, its name and its content."""
    for name, value in ((plane.config_map or {}).get("data") or {}).items():
        yield f"ConfigMap {plane.workload}", "entry", name, value
    for pod in plane.pod_specs:
        for container in pod.containers:
            for entry in container.get("env") or ():
                yield pod.place, "variable", entry["name"], entry.get("value") or ""
            for part in (*(container.get("command") or ()), *(container.get("args") or ())):
                yield pod.place, "argument of container", container.get("name", ""), part
