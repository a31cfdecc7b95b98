"""What code of a dspy module finds in its session: its tools, SUBMIT and its inputs. It runs in the sandbox only.

`dspy_interpreter.py` sends it as text with a new session, after `tool_guest.py`, and calls what is in `__rlm_dspy__`
by cells of its own.

What it says to the other end besides calls of tools:
    emit  dspy.final   SUBMIT was called; the fields are in the variable `__rlm_final__`, as JSON text
"""

from collections.abc import Callable


def _install(namespace: dict[str, object], build_tool: Callable[[str], object]) -> None:
    from json import dumps, loads

    import sandbox  # type: ignore[import-not-found]  # exists only inside the sandbox's guest

    kept: dict[str, object] = {}
    inputs: dict[str, tuple[str, object]] = {}  # name: how it came, and its text or JSON text
    fields: list[str] = []
    final: list[str] = []

    def submit(*values: object, **named: object) -> None:
        """Finish with a value for each output field, by position or by name."""
        given = dict(zip(fields, values, strict=False))
        if len(values) > len(fields) or given.keys() & named.keys() or {*given, *named} != set(fields):
            raise TypeError(f"SUBMIT takes exactly these fields, by position or by name: {', '.join(fields)}")
        given |= named
        if not final:
            final.append(dumps({name: given[name] for name in fields}, default=repr))
        sandbox.stop()

    class Interpreter:
        """Called by cells of the interpreter, never by the model's code."""

        def configure(self, tools: str, output_fields: str) -> None:
            """The names of the tools and of the fields, as JSON."""
            wanted = loads(tools)
            for name in set(kept) - {*wanted, "SUBMIT", "__rlm_dspy__"}:
                namespace.pop(name, None)
                del kept[name]
            kept.update({name: build_tool(name) for name in wanted if name not in kept})
            fields[:] = loads(output_fields)

        def take(self, name: str, variable: str, is_json: bool) -> None:
            """An input that came as text in a variable."""
            inputs[name] = ("json" if is_json else "text", namespace.pop(variable))

        def bind(self, names: str) -> None:
            """Each input (JSON list of names) is what it was when it came, whatever code made of it since."""
            for name in loads(names):
                kind, text = inputs[name]
                namespace[name] = loads(text) if kind == "json" and isinstance(text, str) else text

    kept.update(SUBMIT=submit, __rlm_dspy__=Interpreter())

    def after_cell() -> None:
        namespace.update(kept)
        if final:
            namespace["__rlm_final__"] = final.pop()
            sandbox.emit("dspy.final", "")

    namespace.update(kept)
    sandbox.after_cell(after_cell)


_install(globals(), globals().pop("_build_tool"))
del _install, Callable
