"""What rlms code finds in its session beside `runtime/inference/prelude.py`. It runs in the sandbox only.

`rlms_environment.py` sends it as text after that prelude, which has the names of the REPL. What `rlms` has more is
here: contexts and histories by number (`context_0`, …; `context` and `history` are the first ones), a history that
compaction appends to, and custom tools, which `tool_guest.py` makes. The environment calls what is in `__rlms__`.
"""


def _extend(namespace: dict[str, object], tools: dict[str, object]) -> None:
    import sys

    import sandbox  # type: ignore[import-not-found]  # exists only inside the sandbox's guest

    begin, reopen = namespace["__rlm_begin__"], namespace.pop("__rlm_reopen__")
    answer: dict[str, object] = namespace["answer"]  # type: ignore[assignment]  # the prelude made it
    compacted: list[object] = []
    is_compacting = [False]

    class Environment:
        """Called by cells of the environment, never by the model's code."""

        def alias(self) -> None:
            """`context` and `history` are the first ones, from now on also after cells that assign to them."""
            namespace["context"] = namespace.get("context_0", "")
            namespace["history"] = compacted if is_compacting[0] else namespace.get("history_0", [])
            begin(0)  # type: ignore[operator]  # the prelude's function

        def compact(self) -> None:
            """`history` is what `append` gets, from now on."""
            is_compacting[0] = True
            self.alias()

        def append(self, variable: str) -> None:
            compacted.append(namespace.pop(variable))

        def ask_again(self) -> None:
            """The next question begins with an empty answer."""
            reopen()  # type: ignore[operator]  # the prelude's function
            answer.clear()
            answer.update(content="", ready=False)

    kept = {**tools, "__rlms__": Environment()}
    namespace.update(kept)

    def restore() -> None:
        for name, value in kept.items():
            if namespace.get(name) is not value:
                if not name.startswith("_"):
                    print(f"`{name}` is a tool and was restored; use another name for your own value.", file=sys.stderr)  # noqa: T201  # the model reads the cell's stderr
                namespace[name] = value

    sandbox.after_cell(restore)
