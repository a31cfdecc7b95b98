"""The sandbox as the REPL of other programs, synchronous, by the names that RLM code knows.

from runtime.client import RemoteREPLEnv, RLM_REPL, SandboxInterpreter, SandboxRLM

RemoteREPLEnv().code_execution("print(6 * 7)").stdout      # runs in the sandbox at WASM_SERVICE_URL
RLM_REPL().completion(context=text, query="How many?")     # a whole recursive run, with the settings RLM_*
SandboxRLM(backend_kwargs={...}).completion(text)          # the library `rlms`, its code in the sandbox
dspy.RLM("text -> answer", interpreter_factory=SandboxInterpreter)

`RemoteREPLEnv` needs nothing further. What the others need is imported when they are asked for, and is said when it is
missing. Reasons: docs/design/0021.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from runtime.client.remote_repl import RemoteREPLEnv, REPLResult

if TYPE_CHECKING:
    from runtime.client.dspy_interpreter import SandboxInterpreter
    from runtime.client.rlm_repl import RLM_REPL
    from runtime.client.rlms_environment import SandboxREPL
    from runtime.client.rlms_run import SandboxRLM

__all__ = ["RLM_REPL", "REPLResult", "RemoteREPLEnv", "SandboxInterpreter", "SandboxREPL", "SandboxRLM"]

_EXTRAS: Final = {  # name: (module, the extra that brings what it imports)
    "RLM_REPL": ("runtime.client.rlm_repl", "inference"),
    "SandboxREPL": ("runtime.client.rlms_environment", "rlms"),
    "SandboxRLM": ("runtime.client.rlms_run", "rlms"),
    "SandboxInterpreter": ("runtime.client.dspy_interpreter", "dspy"),
}


def __getattr__(name: str) -> Any:
    if name not in _EXTRAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, extra = _EXTRAS[name]
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{name} needs the package {error.name}, which is not installed: pip install "rlm-operator[{extra}]"'
        ) from error
