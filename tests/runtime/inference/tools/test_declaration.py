"""The file that declares tools: what is taken, and what is refused with its place."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any, Final

import pytest

from runtime.inference.tools.declaration import RESERVED_NAMES
from runtime.inference.tools.toolbox import ToolFileError, load_tools
from tests.runtime.inference.inference_process import MINIMAL, finish, start

DOCUMENTATION: Final = Path(__file__).parents[4] / "docs/design/0020-signals-and-tools.md"
TOOL: dict[str, Any] = {
    "name": "find_order",
    "description": "Looks an order up.",
    "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    "url": "https://api.example.com/v1/orders/{number}",
}


def write(folder: Path, hosts: list[str] | None = None, **fields: Any) -> Path:
    path = folder / "tools.json"
    path.write_text(json.dumps({"allowedHosts": hosts or ["api.example.com"], "tools": [{**TOOL, **fields}]}))
    return path


def test_yaml_is_read_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text("""
allowedHosts: [api.example.com, "search.tools.svc:8080"]
tools:
- name: find_order
  description: Looks an order up.
  parameters: {type: object, properties: {number: {type: integer}}, required: [number]}
  url: https://api.example.com/v1/orders/{number}
  secretHeaders: {authorization: {file: /etc/rlm/tools/orders, prefix: "Bearer "}}
- name: search
  description: Full text search.
  parameters: {type: object, properties: {query: {type: string}}}
  method: POST
  url: http://search.tools.svc:8080/
  allowPrivateAddresses: true
  timeout: 2.5
""")
    order, search = (tool.declaration for tool in load_tools(path))
    assert (order.method, order.timeout, order.max_calls_per_run) == ("GET", 10, 100)
    assert not order.allow_private_addresses
    assert order.secret_headers["authorization"].prefix == "Bearer "
    assert order.placeholders == {"number"}
    assert (search.method, search.host, search.timeout) == ("POST", "search.tools.svc:8080", 2.5)


def test_the_documented_example_is_a_tool_file(tmp_path: Path) -> None:
    blocks = re.findall(r"(?:^    .*\n)+", DOCUMENTATION.read_text(), re.MULTILINE)
    (example,) = [textwrap.dedent(block) for block in blocks if "allowedHosts" in block]
    (tmp_path / "tools.yaml").write_text(example)
    (tool,) = load_tools(tmp_path / "tools.yaml")
    assert (tool.declaration.name, tool.declaration.max_response_bytes) == ("find_order", 262144)


def test_arguments_that_are_not_declared_are_refused_unless_the_schema_says_otherwise(tmp_path: Path) -> None:
    (tool,) = load_tools(write(tmp_path))
    assert not tool.validator.is_valid({"number": 1, "other": 2})
    (tool,) = load_tools(write(tmp_path, parameters={**TOOL["parameters"], "additionalProperties": True}))
    assert tool.validator.is_valid({"number": 1, "other": 2})


@pytest.mark.parametrize("name", [*sorted(RESERVED_NAMES), "print", "lambda", "open", "_hidden", "a-b", "1st", "", "ä"])
def test_names_of_the_repl_and_of_python_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ToolFileError, match=r"tools\.0\.name"):
        load_tools(write(tmp_path, name=name))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"url": "https://other.example.com/"}, "not in allowedHosts: other.example.com"),
        ({"url": "https://api.example.com:8443/"}, "not in allowedHosts: api.example.com:8443"),
        ({"url": "http://api.example.com/"}, "is not encrypted"),
        ({"url": "ftp://api.example.com/"}, "no https:// address"),
        ({"url": "https://{number}.example.com/"}, "the host of find_order is fixed"),
        ({"url": "https://me:key@api.example.com/"}, "neither a user nor a fragment"),
        ({"url": "https://api.example.com/{unknown}"}, "names no parameters: unknown"),
        ({"url": "https://api.example.com/{number:>8}"}, "braces"),
        ({"url": "https://api.example.com/a b"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "no address that may be called"),
        ({"url": "https://[::ffff:169.254.169.254]/", "allowPrivateAddresses": True}, "no address that may be called"),
        ({"url": "https://10.0.0.1/"}, "no address that may be called"),
        ({"url": "https://127.1/"}, "no address that may be called"),
        ({"url": "https://2130706433/"}, "no address that may be called"),
        ({"url": "https://0x7f000001/"}, "no address that may be called"),
        ({"url": "https://0177.0.0.1./", "allowPrivateAddresses": True}, "no address that may be called"),
        ({"parameters": {"type": "array"}}, "type object"),
        ({"parameters": {"type": "object", "properties": {"number": {"type": "nonsense"}}}}, "no JSON schema"),
        ({"headers": {"Host": "elsewhere"}}, "no header that a tool may set"),
        ({"headers": {"x-a": "b\r\nx-c: d"}}, "headers"),
        ({"secretHeaders": {"Cookie": {"file": "/x"}}}, "no header that a tool may set"),
        ({"timeout": 0}, "timeout"),
        ({"maxResponseBytes": 1 << 30}, "maxResponseBytes"),
        ({"method": "CONNECT"}, "method"),
        ({"code": "import os"}, "code"),
    ],
)
def test_what_a_tool_may_not_be_is_refused_with_its_place(tmp_path: Path, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ToolFileError) as refused:
        load_tools(write(tmp_path, **fields))
    assert str(tmp_path) in str(refused.value)
    assert problem in str(refused.value)


def test_two_tools_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(json.dumps({"allowedHosts": ["api.example.com"], "tools": [TOOL, TOOL]}))
    with pytest.raises(ToolFileError, match="declared twice: find_order"):
        load_tools(tmp_path / "tools.json")


@pytest.mark.parametrize("text", ["{", "[]", "tools: 1", "!!python/object/apply:os.system ['true']"])
def test_what_is_no_tool_file_ends_with_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "tools.yaml").write_text(text)
    with pytest.raises(ToolFileError) as refused:
        load_tools(tmp_path / "tools.yaml")
    assert "\n" not in str(refused.value)


async def test_a_wrong_file_ends_the_process_with_status_2_and_the_variables_name(tmp_path: Path) -> None:
    status, _, err = await finish(
        await start({**MINIMAL, "RLM_AUTH_MODE": "Disabled", "RLM_TOOLS_FILE": str(tmp_path / "absent")})
    )
    assert status == 2
    assert err.startswith("runtime.inference: RLM_TOOLS_FILE: ")
    assert err.count("\n") == 1
