"""The library `rlms` (alexzhang13/rlm) with its code in the sandbox instead of its own process.

Reads WASM_SERVICE_URL and WASM_API_KEY_FILE, and OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL of the model.
"""

import os

from runtime.client import SandboxRLM

PRICES = {"apple": 0.5, "pear": 0.7}


def price_of(fruit: str) -> float:
    """Runs here, in this process; the sandbox only has its name."""
    return PRICES[fruit]


model = {
    "model_name": os.environ["OPENAI_MODEL"],
    "base_url": os.environ["OPENAI_BASE_URL"],
    "api_key": os.environ["OPENAI_API_KEY"],
}
tools = {"price_of": {"tool": price_of, "description": "price_of(fruit: str) -> float, in euros"}}
orders = "\n".join(f"order {number}: 2 apple, 1 pear" for number in range(1000))

# Everything else is the library's: its loop, its clients, its budgets, its recursion (max_depth=2: child runs).
with SandboxRLM(backend_kwargs=model, max_depth=2, custom_tools=tools, persistent=True) as rlm:
    first = rlm.completion(orders, root_prompt="What do all orders cost together?")
    print(first.response)
    again = rlm.completion("Answer in cents.", root_prompt="And in cents?")  # the same session, with its variables
    print(again.response)
    print(again.usage_summary.to_dict()["model_usage_summaries"])
