"""Which model a local stack talks to: the one of its manifest, the one of the environment, or the stand-in.

Pure: called by `local/stack.py` before rendering, with the RLMStack's document, the Secrets of the file and the
environment. A key is only ever sent to the endpoint that it was given with.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from rlm_operator.endpoint import InCluster, parse_endpoint
from rlm_operator.resource import Manifest
from rlmctl.local.secret_store import SecretStore

STAND_IN: Final = "scripted-demo"
_OPENAI_URL: Final = "https://api.openai.com/v1"
_ENVIRONMENT_SECRET: Final = "rlmctl-environment"  # noqa: S105  # a Secret's name
_KEY: Final = "api-key"


@dataclass(frozen=True)
class ModelChoice:
    """`say` tells the user which model it is and why."""

    source: Literal["manifest", "environment", "stand-in"]
    say: str


def choose_model(stack: Manifest, store: SecretStore, environment: Mapping[str, str]) -> ModelChoice:
    """The manifest's model when its key is in the file, or it needs none and can be reached; else the environment's."""
    model: dict[str, Any] = (stack.get("spec") or {}).get("model") or {}
    url, reference = str(model.get("baseURL", "")), model.get("apiKeySecretRef")
    named = f"{model.get('name')} at {url}"
    if reference and _is_held(reference, store):
        return ModelChoice("manifest", f"model: {named}, key from Secret {reference['name']} of the manifest")
    if not reference and not isinstance(parse_endpoint(url, "default"), InCluster):
        return ModelChoice("manifest", f"model: {named}, without a key")
    if environment.get("OPENAI_API_KEY") or environment.get("OPENAI_BASE_URL"):
        given = environment.get("OPENAI_BASE_URL") or _OPENAI_URL
        name = environment.get("OPENAI_MODEL") or model.get("name")
        key = "with OPENAI_API_KEY" if environment.get("OPENAI_API_KEY") else "without a key"
        return ModelChoice("environment", f"model: {name} at {given}, {key} from the environment")
    reason = f"Secret {reference['name']} is not in the manifest file" if reference else f"{url} is inside a cluster"
    return ModelChoice(
        "stand-in",
        f"model: none. {reason} and OPENAI_API_KEY is not set, so the scripted stand-in {STAND_IN} answers: it follows "
        "rules and has no intelligence.",
    )


def apply_choice(
    choice: ModelChoice, stack: Manifest, store: SecretStore, environment: Mapping[str, str], stand_in_url: str
) -> Manifest:
    """The stack's document with the chosen model; the Secret of an environment's key joins the store."""
    changed = copy.deepcopy(stack)
    spec: dict[str, Any] = changed.setdefault("spec", {})
    if choice.source == "stand-in":
        spec["model"] = {"name": STAND_IN, "baseURL": stand_in_url}
        spec.pop("subModel", None)
        _drop_prices(spec)
        # The name that callers see must say who answers.
        (spec.get("inference") or {}).pop("servedModelName", None)
    elif choice.source == "environment":
        _use_environment(spec, store, environment)
    _drop_unusable_sub_model(spec, store)
    return changed


def _use_environment(spec: dict[str, Any], store: SecretStore, environment: Mapping[str, str]) -> None:
    model = {
        "name": environment.get("OPENAI_MODEL") or spec["model"].get("name"),
        "baseURL": environment.get("OPENAI_BASE_URL") or _OPENAI_URL,
    }
    key = environment.get("OPENAI_API_KEY")
    if key:
        store.put(_ENVIRONMENT_SECRET, _KEY, key)
        model["apiKeySecretRef"] = {"name": _ENVIRONMENT_SECRET, "key": _KEY}
    spec["model"] = model
    _drop_prices(spec)
    if environment.get("OPENAI_MODEL"):
        spec.pop("subModel", None)


def _drop_prices(spec: dict[str, Any]) -> None:
    """What the manifest's models cost says nothing of another endpoint's, and money needs a price for every model."""
    for name in ("maxCostUSD", "prices"):
        (spec.get("rlm") or {}).pop(name, None)
    (spec.get("subModel") or {}).pop("price", None)


def _drop_unusable_sub_model(spec: dict[str, Any], store: SecretStore) -> None:
    """A sub-model whose key is not here: the root model answers the sub-calls."""
    reference = (spec.get("subModel") or {}).get("apiKeySecretRef")
    if reference and not _is_held(reference, store):
        spec.pop("subModel")


def _is_held(reference: Mapping[str, str], store: SecretStore) -> bool:
    return store.holds(str(reference.get("name")), str(reference.get("key") or _KEY))
