"""Tools of a stack: what is rendered is what the inference plane reads, and keys stay in their Secrets."""

from __future__ import annotations

import builtins
import keyword
import stat
from pathlib import Path
from typing import Any

import pytest

from rlm_operator.errors import SpecInvalidError
from rlm_operator.names import CONFIG_ANNOTATION
from rlm_operator.render import render
from rlm_operator.resource import Manifest, Stack
from rlm_operator.spec.tool_names import TAKEN_NAMES
from rlmctl.local.secret_store import SecretStore
from rlmctl.local.volumes import Volumes
from runtime.inference.tools.declaration import RESERVED_NAMES
from runtime.inference.tools.toolbox import Tool, load_tools
from tests.operator.setting_rules import tools
from tests.operator.specs import INPUTS, REPOSITORY, build_stack, load, one

SAMPLE = REPOSITORY / "config" / "samples" / "tools.yaml"
KEY = {"authorization": {"secretKeyRef": {"name": "orders", "key": "token"}, "prefix": "Bearer "}}
SECRET = {"kind": "Secret", "metadata": {"name": "orders"}, "stringData": {"token": "s3cret-token"}}
ARGUMENTS = {"properties": {"number": {"type": "integer"}}, "required": ["number"], "minProperties": 1}


def pod_of(stack: Stack) -> Manifest:
    pod: Manifest = one(render(stack, INPUTS), "Deployment")["spec"]["template"]
    return pod


def mount(stack: Stack, folder: Path) -> Path:
    """The tools volume as `rlmctl dev` makes it, like a pod has it."""
    [volume] = [volume for volume in pod_of(stack)["spec"]["volumes"] if volume["name"] == "tools"]
    Volumes(SecretStore([SECRET]), render(stack, INPUTS)).write(folder / "tools", volume)
    return folder / "tools"


def read_back(stack: Stack, folder: Path) -> list[Tool]:
    return load_tools(mount(stack, folder) / "tools.json")


def test_the_inference_plane_reads_what_is_rendered_field_by_field(tmp_path: Path) -> None:
    stack = build_stack(
        **tools(
            ["api.test:443"],
            url="https://api.test:443/v1/{number}",
            parameters=ARGUMENTS,
            method="DELETE",
            headers={"X-Client": "rlm"},
            secretHeaders=KEY,
            timeout="1500ms",
            maxResponseBytes="1Ki",
            maxCallsPerRun=7,
        )
    )
    [tool] = read_back(stack, tmp_path)
    declared = tool.declaration
    assert (declared.name, declared.description, declared.method) == ("find_order", "Looks an order up.", "DELETE")
    assert declared.url == "https://api.test:443/v1/{number}"
    assert declared.parameters == {"type": "object", "additionalProperties": False, **ARGUMENTS}
    assert declared.headers == {"X-Client": "rlm"}
    assert (declared.timeout, declared.max_response_bytes, declared.max_calls_per_run) == (1.5, 1024, 7)
    assert not declared.allow_private_addresses
    secret = declared.secret_headers["authorization"]
    assert (secret.prefix, secret.file.read_text()) == ("Bearer ", "s3cret-token")


@pytest.mark.parametrize("url", ["http://[fd00::7]:8080/q", "http://[fd00::7]/", "http://svc.ns.svc", "http://svc:80/"])
def test_hosts_of_every_form_are_found_in_the_rendered_allow_list(tmp_path: Path, url: str) -> None:
    stack = build_stack(**tools([url.split("/")[2]], url=url, allowPrivateAddresses=True))
    [tool] = read_back(stack, tmp_path)
    assert tool.declaration.url == url


def test_no_key_is_in_the_rendered_objects_and_mounted_ones_are_private(tmp_path: Path) -> None:
    stack = build_stack(**tools(secretHeaders=KEY))
    folder = mount(stack, tmp_path)
    assert "s3cret-token" not in (folder / "tools.json").read_text()
    key = folder / "keys" / "find_order" / "authorization"
    assert key.read_text() == "s3cret-token"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (key, folder / "tools.json")} == {0o600}


def test_the_file_is_named_to_the_process_and_mounted_read_only() -> None:
    [container] = pod_of(build_stack(**tools()))["spec"]["containers"]
    assert {"name": "RLM_TOOLS_FILE", "value": "/etc/rlm/tools/tools.json"} in container["env"]
    assert {"name": "tools", "mountPath": "/etc/rlm/tools", "readOnly": True} in container["volumeMounts"]


def test_a_stack_without_tools_has_neither_file_nor_volume() -> None:
    stack = build_stack(tools={"allowedHosts": ["api.test"]})
    assert render(stack, INPUTS) == render(build_stack(), INPUTS)


@pytest.mark.parametrize("change", [{"timeout": "11s"}, {"description": "Other."}, {"secretHeaders": KEY}])
def test_a_changed_tool_rolls_the_pods(change: dict[str, Any]) -> None:
    before, after = build_stack(**tools()), build_stack(**tools(**change))
    digests = {pod_of(stack)["metadata"]["annotations"][CONFIG_ANNOTATION] for stack in (before, after)}
    assert len(digests) == 2


def test_two_tools_of_one_name_are_refused() -> None:
    spec = tools()["tools"]
    with pytest.raises(SpecInvalidError, match="two functions of one name: rename one of them"):
        build_stack(tools={**spec, "functions": spec["functions"] * 2})


def test_taken_names_are_those_of_the_repl_and_of_python() -> None:
    taken = {*RESERVED_NAMES, *keyword.kwlist, *dir(builtins)}
    assert {name for name in taken if name[0].islower()} == TAKEN_NAMES


def test_the_sample_is_a_tool_file(tmp_path: Path) -> None:
    [document] = load(SAMPLE)
    order, search = read_back(build_stack(**document["spec"]), tmp_path)
    assert (order.declaration.name, search.declaration.host) == ("find_order", "search.tools.svc:8080")
