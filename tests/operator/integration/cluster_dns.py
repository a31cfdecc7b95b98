"""Runs a module as a program for which every name below `.svc` is this machine, as cluster DNS would say of a Service
whose only pod is here: `python -m tests.operator.integration.cluster_dns MODULE`.
"""

from __future__ import annotations

import runpy
import socket
import sys
from typing import Any

_resolve = socket.getaddrinfo


def _resolve_here(host: Any, *further: Any, **options: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    here = isinstance(name, str) and name.endswith(".svc")
    return _resolve("127.0.0.1" if here else host, *further, **options)


if __name__ == "__main__":
    socket.getaddrinfo = _resolve_here
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
