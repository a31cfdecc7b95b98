"""dspy.RLM with its code in the sandbox instead of Deno on this machine.

Reads WASM_SERVICE_URL and WASM_API_KEY_FILE, and OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL of the model.
"""

import os

import dspy

from runtime.client import SandboxInterpreter

dspy.configure(
    lm=dspy.LM(
        f"openai/{os.environ['OPENAI_MODEL']}",
        api_base=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
    ),
    interpreter_factory=SandboxInterpreter,  # for every module that runs code
)


def population(city: str) -> int:
    """Inhabitants of a city. Runs here, in this process."""
    return {"Bern": 137_000, "Basel": 174_000}[city]


rlm = dspy.RLM("notes, question -> answer: str, total: int", tools=[population], max_iters=6)
result = rlm(
    notes=["Ana moved from Bern to Basel."] * 1000,
    question="Which cities are mentioned, and how many people live there together?",
)
print(result.answer, result.total)
print(len(result.trajectory), "turns")
