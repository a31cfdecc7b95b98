"""`rlmctl render`: the children of RLMStacks and SandboxPools in files, as YAML, without a cluster.

The command line mounts `render_command`; `rlmctl dev` calls `render_documents`. Both get what the operator would apply.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer
import yaml

from rlm_operator.errors import SpecInvalidError
from rlm_operator.inputs import Images, choose_images
from rlm_operator.render import render_all
from rlm_operator.resource import Manifest, is_resource, parse_resource
from rlmctl.errors import InputError

STANDARD_INPUT = Path("-")


class OptionalKind(StrEnum):
    """Those of kinds.OPTIONAL_CHILD_KINDS but the ScaledObject, which is printed wherever a spec asks for one."""

    POD_MONITOR = "PodMonitor"
    PROMETHEUS_RULE = "PrometheusRule"
    HTTP_ROUTE = "HTTPRoute"
    CILIUM_NETWORK_POLICY = "CiliumNetworkPolicy"
    CERTIFICATE = "Certificate"


def load_documents(paths: Iterable[Path]) -> list[Manifest]:
    """Every Kubernetes object in these YAML files; `-` is standard input. Lists are taken apart.

    Raises SpecInvalidError for a file that is not YAML or holds something else, OSError for one that can not be read.
    """
    documents: list[Manifest] = []
    for path in paths:
        text = sys.stdin.read() if path == STANDARD_INPUT else path.read_text()
        try:
            loaded = [document for document in yaml.safe_load_all(text) if document is not None]
        except yaml.YAMLError as error:
            raise SpecInvalidError(f"{path} is not YAML: {error}") from error
        for document in loaded:
            documents += _objects(document, path)
    return documents


def render_documents(
    paths: Sequence[Path],
    images: Images | None = None,
    namespace: str = "default",
    served: frozenset[str] = frozenset(),
) -> list[Manifest]:
    """The children of every RLMStack and SandboxPool in these files, those of owned pools included.

    `namespace` is for objects that name none. Other objects in the files are passed over. `served`: optional kinds of
    the cluster that the manifests are for.
    Raises SpecInvalidError when a spec is wrong or the files hold neither kind.
    """
    resources = [parse_resource(document, namespace) for document in load_documents(paths) if is_resource(document)]
    if not resources:
        names = ", ".join(str(path) for path in paths)
        raise SpecInvalidError(f"no RLMStack or SandboxPool in {names}: name a file that holds one")
    return render_all(resources, images or choose_images(), served)


def render_command(
    file: Annotated[list[Path], typer.Option("--file", "-f", help="Manifest to read; - is standard input.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="For objects that name none.")] = "default",
    inference_image: Annotated[str | None, typer.Option(help="Image of the inference pods.")] = None,
    sandbox_image: Annotated[str | None, typer.Option(help="Image of the sandbox pods.")] = None,
    sandbox_scientific_image: Annotated[
        str | None, typer.Option(help="Image of the pods of scientific pools; else --sandbox-image.")
    ] = None,
    serve: Annotated[
        list[OptionalKind] | None,
        typer.Option(help="Optional kind that the cluster serves: objects of it are printed too. May be repeated."),
    ] = None,
) -> None:
    """Print what the operator would create for RLMStacks and SandboxPools, as YAML.

    Secrets that the operator would make are printed without data: it fills them with random keys.
    """
    images = choose_images(inference_image, sandbox_image, sandbox_scientific_image)
    try:
        manifests = render_documents(file, images, namespace, frozenset(serve or ()))
    except OSError as error:
        raise InputError(f"--file {error.filename}: {error.strerror}") from error
    except SpecInvalidError as error:
        raise InputError(str(error)) from error
    typer.echo(to_yaml(manifests), nl=False)


def to_yaml(manifests: Iterable[Manifest]) -> str:
    """One YAML document per object, fields in the builders' order."""
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Repeats equal parts in full, because anchors puzzle readers and some tools; text of several lines keeps them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the name is PyYAML's
        return True

    def represent_scalar(self, tag: str, value: str, style: str | None = None) -> yaml.ScalarNode:
        return super().represent_scalar(tag, value, "|" if style is None and "\n" in value else style)


def _objects(document: Any, path: Path) -> list[Manifest]:
    if not isinstance(document, dict) or "kind" not in document:
        raise SpecInvalidError(f"{path} holds something that is not a Kubernetes object: every document needs a kind")
    if document["kind"] == "List":
        return [item for entry in document.get("items") or [] for item in _objects(entry, path)]
    return [cast("Manifest", document)]
