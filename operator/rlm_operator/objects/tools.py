"""The file that declares a stack's tools to its inference pods, and the volume that holds it with the tools' keys.

The file is in a ConfigMap of its own, the keys stay in their Secrets: the volume projects both into one folder, and the
file names them by paths below it. runtime/inference/tools reads it (design records 0020 and 0023).
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlsplit

from rlm_operator.names import tools_config_map
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.base import SecretKeyRef
from rlm_operator.spec.tools import ToolFunction, Tools

TOOLS_VOLUME: Final = "tools"
TOOLS_DIR: Final = "/etc/rlm/tools"
TOOLS_FILE: Final = "tools.json"


def build_tools_config_map(plane: Plane, tools: Tools) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": build_metadata(plane, tools_config_map(plane.instance)),
        "data": {TOOLS_FILE: tools_file(tools)},
    }


def build_tools_volume(plane: Plane, tools: Tools) -> Manifest:
    file = {"configMap": {"name": tools_config_map(plane.instance), "items": [{"key": TOOLS_FILE, "path": TOOLS_FILE}]}}
    keys = [
        _key_source(secret.secret_key_ref, _key_path(function, header))
        for function in tools.functions
        for header, secret in sorted(function.secret_headers.items())
    ]
    return {"name": TOOLS_VOLUME, "projected": {"defaultMode": 0o440, "sources": [file, *keys]}}


def tools_file(tools: Tools) -> str:
    """JSON with one line a field, so that a change is read in a diff. Sorted, as the API server sorts maps: a file and
    a live stack give the same text."""
    declared = {
        "allowedHosts": sorted({*tools.allowed_hosts, *(_plain_host(function) for function in tools.functions)}),
        "tools": [_declaration(function) for function in tools.functions],
    }
    return json.dumps(declared, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _plain_host(function: ToolFunction) -> str:
    """As the inference plane compares it: without brackets, and without the port that is the scheme's. Only a host that
    is allowed as its URL has it gets here."""
    parts = urlsplit(function.url)
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.hostname}" if parts.port in (None, usual) else f"{parts.hostname}:{parts.port}"


def _declaration(function: ToolFunction) -> dict[str, Any]:
    timeout = function.timeout.seconds
    return {
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters.json_schema,
        "method": function.method,
        "url": function.url,
        "headers": function.headers,
        "secretHeaders": {
            header: {"file": _key_path(function, header), "prefix": secret.prefix}
            for header, secret in function.secret_headers.items()
        },
        "timeout": int(timeout) if timeout == int(timeout) else float(timeout),
        "maxResponseBytes": int(function.max_response_bytes.value),
        "maxCallsPerRun": function.max_calls_per_run,
        "allowPrivateAddresses": function.allow_private_addresses,
    }


def _key_source(reference: SecretKeyRef, path: str) -> Manifest:
    return {"secret": {"name": reference.name, "items": [{"key": reference.key, "path": path}]}}


def _key_path(function: ToolFunction, header: str) -> str:
    """Below the file's folder."""
    return f"keys/{function.name}/{header}"
