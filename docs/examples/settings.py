"""Prints what the examples read from their environment, for the stack that `rlmctl dev` runs on this machine:

eval "$(.venv/bin/python docs/examples/settings.py)"
"""

import os
import shlex

from rlmctl.local.ready_file import default_ready_path, read_ready_file

path = default_ready_path(os.environ)
stack = read_ready_file(path)
if stack is None:
    raise SystemExit("no stack is running here: .venv/bin/rlmctl dev -f config/samples/quickstart.yaml")

# The sandbox's clients read keys from files, so that no key is in an environment.
key_file = path.with_name("sandbox-key")
key_file.touch(mode=0o600)
key_file.write_text(stack.sandbox_key or "")

settings = {
    "WASM_SERVICE_URL": stack.sandbox_url,
    "WASM_API_KEY_FILE": str(key_file),
    "STACK_URL": f"{stack.endpoint}/v1",
    "STACK_KEY": stack.api_key or "none",
    "RLM_MODEL_BASE_URL": stack.model_url,
    "RLM_MODEL_NAME": os.environ.get("OPENAI_MODEL", "scripted-demo"),
}
for name, value in settings.items():
    print(f"export {name}={shlex.quote(value)}")
