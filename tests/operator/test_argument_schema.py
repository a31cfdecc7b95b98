"""Parameters of tools: what is no JSON schema is refused with its place; nothing is fetched, nothing fans out."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import Any

import pytest

from rlm_operator.errors import SpecInvalidError
from rlm_operator.resource import Manifest
from rlm_operator.spec.argument_schema import check_argument_schema
from tests.operator.setting_rules import tools
from tests.operator.specs import build_stack

DRAFTS = ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]


def argument(schema: Manifest, **further: Any) -> Manifest:
    return {"type": "object", "properties": {"order": schema}, **further}


@pytest.mark.parametrize("draft", DRAFTS)
def test_a_schema_of_a_known_draft_is_taken(draft: str) -> None:
    schema = argument({"type": "string", "maxLength": 9}, required=["order"])
    assert build_stack(**tools(parameters={**schema, "$schema": draft})).spec.tools.functions


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (argument({"type": "strin"}), 'parameters.properties.order.type: "strin" is not valid'),
        (argument({"maxLength": -1}), "parameters.properties.order.maxLength: -1 is less than"),
        (argument({}, required="order"), 'parameters.required: "order" is not of type "array"'),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema: Manifest, said: str) -> None:
    with pytest.raises(SpecInvalidError) as caught:
        build_stack(**tools(parameters=schema))
    assert said in str(caught.value)
    assert "spec.tools.functions[0]" in str(caught.value)


def test_a_draft_of_ones_own_is_refused_and_not_looked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        address = "http://{}:{}/schema".format(*server.getsockname())
        with pytest.raises(SpecInvalidError, match="leave it out"):
            build_stack(**tools(parameters=argument({"$ref": address}, **{"$schema": address})))
        build_stack(**tools(parameters=argument({"$ref": address, "$schema": address})))
        with pytest.raises(TimeoutError):
            server.accept()


def test_references_that_fan_out_and_deep_schemas_are_compared_without_being_followed() -> None:
    """A compiler of this schema would not end: it is checked in a process of its own, which has few seconds."""
    code = f"import json; from {check_argument_schema.__module__} import *; check_argument_schema(json.loads(input()))"
    fans = {
        f"d{level}": {"unevaluatedProperties": False, "anyOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2}
        for level in range(60)
    }
    deep: Manifest = {}
    for _ in range(400):
        deep = {"allOf": [deep]}
    schema = argument({"$ref": "#/$defs/d0"}, **{"$defs": {**fans, "d60": deep}})
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(schema), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_library_is_loaded_for_tools_only() -> None:
    code = "import sys, rlm_operator.spec.stack; sys.exit('jsonschema_rs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
