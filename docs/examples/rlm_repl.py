"""A whole recursive run without the inference service: its loop in this process, the code in the sandbox.

Reads WASM_SERVICE_URL, WASM_API_KEY_FILE, RLM_MODEL_BASE_URL, RLM_MODEL_NAME; a model that wants a key is given one by
RLM_MODEL_API_KEY_FILE.
"""

from runtime.client import RLM_REPL

haystack = "grass\n" * 50_000
text = f"{haystack}The magic number for amber-fox is 7261940.\n{haystack}"

rlm = RLM_REPL()
print(rlm.completion(context=text, query="What is the magic number for amber-fox?"))
print(f"{rlm.last.iterations} turns, {rlm.last.sub_calls} sub-calls over {len(text):,} characters")
