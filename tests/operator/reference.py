"""Writes the API reference, docs/api.md, from the CRDs: `python -m tests.operator.reference`, or `make reference`.

`test_reference.py` compares the file with what this would write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rlm_operator.resource import Manifest
from tests.operator.crd import load_crd
from tests.operator.specs import REPOSITORY

REFERENCE: Final[Path] = REPOSITORY / "docs" / "api.md"
PLURALS: Final = ("rlmstacks", "sandboxpools")
_HEAD: Final = """\
# API reference

Every field of RLMStack and SandboxPool, as `kubectl explain` has them. Written by `make reference` from `crds/`: do not
edit. Fields with * are required. Where no default is given, the meaning says what holds without the field. Samples, one
per feature, are in `config/samples/`.
"""
_REPEATED: Final = {".spec.sandbox": "The fields of a SandboxPool's spec, below."}
"""Parts that another section has."""


def build_reference() -> str:
    return _HEAD + "".join(_describe_kind(load_crd(plural)) for plural in PLURALS)


def _describe_kind(crd: Manifest) -> str:
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    parts = [
        f"\n## {names['kind']}",
        f"`{crd['spec']['group']}/{version['name']}`, short name `{names['shortNames'][0]}`. {schema['description']}",
    ]
    for part in ("spec", "status"):
        below = schema["properties"][part]
        parts += [
            f"### {names['kind']}.{part}",
            "| field | type | default | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(_rows(below, f".{part}")),
        ]
    parts += ["Rules:", "\n".join(f"- {rule}" for rule in _rules(schema))]
    return "\n\n".join(parts) + "\n"


def _rows(schema: Manifest, path: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, part in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        meaning = " ".join([part["description"], _REPEATED.get(here, "")]).strip()
        cells = [f"`{here}`{'*' if name in required else ''}", _type(part), _default(part), meaning]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        if here not in _REPEATED:
            yield from _rows(*_inner(part, here))


def _inner(part: Manifest, path: str) -> tuple[Manifest, str]:
    """The schema of what is in a list or a map, with its path."""
    if "items" in part:
        return part["items"], f"{path}[]"
    if isinstance(part.get("additionalProperties"), dict):
        return part["additionalProperties"], f"{path}{{}}"
    return part, path


def _type(part: Manifest) -> str:
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if part.get("x-kubernetes-int-or-string"):
        return "number or string"
    kind = str(part.get("type", "any"))
    bounds = [f"{part[name]:,}" if name in part else "" for name in ("minimum", "maximum")]
    if kind in {"integer", "number"} and any(bounds):
        return f"{kind}, {bounds[0]} to {bounds[1]}"
    if kind == "array":
        return f"list of up to {part['maxItems']}"
    if kind == "object" and "maxProperties" in part:
        return f"map of up to {part['maxProperties']}"
    return kind


def _default(part: Manifest) -> str:
    value: Any = part.get("default")
    return "" if value in (None, {}, [], "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _rules(schema: Manifest) -> list[str]:
    """What is refused, in the words that the API server says."""
    found: list[str] = [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]
    below = [_inner(schema, "")[0]] if _is_container(schema) else []
    for part in [*schema.get("properties", {}).values(), *below]:
        found += [message for message in _rules(part) if message not in found]
    return found


def _is_container(schema: Manifest) -> bool:
    return "items" in schema or isinstance(schema.get("additionalProperties"), dict)


if __name__ == "__main__":
    REFERENCE.write_text(build_reference())
