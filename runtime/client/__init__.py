"""The sandbox as the REPL of other programs, synchronous, by the names that RLM code knows.

from runtime.client import RemoteREPLEnv, RLM_REPL

RemoteREPLEnv().code_execution("print(6 * 7)").stdout      # runs in the sandbox at WASM_SERVICE_URL
RLM_REPL().completion(context=text, query="How many?")     # a whole recursive run, with the settings RLM_*
"""

from runtime.client.remote_repl import RemoteREPLEnv, REPLResult
from runtime.client.rlm_repl import RLM_REPL

__all__ = ["RLM_REPL", "REPLResult", "RemoteREPLEnv"]
