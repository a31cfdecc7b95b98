"""Dockerfile, its locks and .dockerignore against what the operator renders; no image is built here."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from rlm_operator.inputs import choose_images
from rlm_operator.names import operator_version
from rlm_operator.render import render
from rlm_operator.resource import Manifest
from tests.operator.specs import INPUTS, REPOSITORY, build_pool, build_stack, load, one

TARGETS: Final = ("operator", "inference", "sandbox", "sandbox-scientific")
LOCKS: Final = ("operator", "inference", "sandbox")
SANDBOXES: Final = ("sandbox", "sandbox-scientific")


def read_stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions by stage name, those of the stage it is built on first; continuation lines joined."""
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    stages: dict[str, list[tuple[str, str]]] = {"": []}
    stage = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(" ")
        if name == "FROM":
            below, _, stage = rest.rpartition(" AS ")
            stages[stage] = [*stages.get(below, [])]
        stages[stage].append((name, rest.strip()))
    return stages


def pins(path: Path) -> set[str]:
    return set(re.findall(r"^[\w.\-]+(?:\[[^\]]*\])?==[^\s;]+", path.read_text(), re.MULTILINE))


def rendered_container(target: str) -> Manifest:
    if target == "operator":
        children = load(REPOSITORY / "config" / "manager" / "deployment.yaml")
    elif target == "inference":
        children = render(build_stack(), INPUTS)
    else:
        children = render(build_pool(image="scientific" if target == "sandbox-scientific" else "stdlib"), INPUTS)
    [container] = one(children, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_runs_as_the_pods_do_same_command_user_and_ports(target: str) -> None:
    instructions = read_stages()[target]
    container = rendered_container(target)
    assert json.loads(dict(instructions)["ENTRYPOINT"]) == container["command"]
    assert dict(instructions)["USER"] == "65532:65532"
    ports = {str(port["containerPort"]) for port in container["ports"]}
    assert set(dict(instructions)["EXPOSE"].split()) == ports
    assert "HEALTHCHECK" in dict(instructions)


def test_the_targets_are_the_images_that_the_operator_names() -> None:
    images = choose_images()
    named = {images.inference, images.sandbox, images.sandbox_scientific, rendered_container("operator")["image"]}
    assert named == {f"rlm-operator/{target}:{operator_version()}" for target in TARGETS}


def test_everything_copied_exists_and_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source
        for instructions in read_stages().values()
        for name, rest in instructions
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (REPOSITORY / source).exists(), source
        assert source.split("/")[0] in sent, source


@pytest.mark.parametrize("extra", LOCKS)
def test_the_lock_of_an_image_has_its_extra_and_only_versions_of_the_main_lock(extra: str) -> None:
    locked = pins(REPOSITORY / "requirements" / f"{extra}.lock")
    assert locked <= pins(REPOSITORY / "requirements.lock")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"][extra]]
    names = {pin.partition("==")[0] for pin in locked}
    assert {re.split(r"[<>=\[]", requirement)[0] for requirement in wanted} <= names


def test_every_lock_gives_a_hash_for_each_package() -> None:
    locks = sorted((REPOSITORY / "requirements").glob("*.lock"))
    assert {lock.stem for lock in locks} == {*LOCKS, "adapters", "build", "fuzz", "s3-server"}
    for lock in locks:
        blocks = re.split(r"\n(?=\w)", lock.read_text().strip())
        assert all("--hash=sha256:" in block for block in blocks), lock


def test_the_scientific_target_runs_the_scientific_guest_and_has_its_files() -> None:
    stages = read_stages()
    assert ("ENV", "SANDBOX_IMAGE=scientific") in stages["sandbox-scientific"]
    assert not any("SANDBOX_IMAGE" in rest for _, rest in stages["sandbox"])
    trimmed = {target: [rest for _, rest in stages[f"{target}-files"] if "trim_guest" in rest] for target in SANDBOXES}
    assert ["--stdlib" in rest for [rest] in trimmed.values()] == [True, False]


@pytest.mark.parametrize("target", SANDBOXES)
def test_packages_of_ones_own_can_be_given_to_the_build(target: str) -> None:
    instructions = read_stages()[f"{target}-files"]
    arguments = {rest.partition("=")[0] for name, rest in instructions if name == "ARG"}
    [bake] = [rest for _, rest in instructions if "runtime.sandbox.baking" in rest]
    assert arguments == {"PACKAGES", "PACKAGES_FILE", "NAME", "PRELOAD", "BASE"}
    assert all(f"${argument}" in bake for argument in arguments)
