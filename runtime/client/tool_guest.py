"""The functions in a session that stand for tools of its client. This file runs in the sandbox only.

Part of what `rlms_environment.py` and `dspy_interpreter.py` send with a new session; `tool_calls.py` is the other end.

    call  client.tool    {"name": str, "positional": [...], "named": {...}} -> {"value": ...}
"""


def _build_tool(name: str) -> object:
    from json import dumps, loads

    import sandbox  # type: ignore[import-not-found]  # exists only inside the sandbox's guest

    def tool(*args: object, **kwargs: object) -> object:
        try:
            payload = dumps({"name": name, "positional": args, "named": kwargs})
        except (TypeError, ValueError) as problem:
            raise TypeError(f"{name} runs outside the sandbox and takes JSON values only: {problem}") from None
        return loads(sandbox.call("client.tool", payload))["value"]

    tool.__name__ = tool.__qualname__ = name
    return tool
