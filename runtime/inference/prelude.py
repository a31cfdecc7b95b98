"""What the root model's code finds in its session: the REPL contract. This file runs inside the sandbox, never here.

`session.py` sends it as text with every new session. It uses the guest's `sandbox` module: `call` suspends the cell
until the inference plane answers, `emit` puts an event into the cell's reply, `stop` ends the cell, `after_cell` runs
at the end of every cell. Everything lives in closures, so that the session's one namespace holds only the contract's
names. Code in the session may break or forge all of it; the other end checks what it gets.

What it says to the other end (JSON in text):
    call  llm_query, rlm_query
                         {"prompts": [str, ...], "model": str | null} -> {"answers": [str, ...]}, same length and order;
                         in a copied session {"child": index of the prompt that it is to answer}
          a tool         its arguments, a dict -> what the code gets, any value; "Error: ..." where it failed
    emit  rlm.answer     what `answer["content"]` holds so far, capped
    emit  rlm.final      the run is finished; the text is in the variable `__rlm_final__`
"""


def _install(
    namespace: dict[str, object],
    partial_cap: int = 20_000,
    part_prompts: int = 5_000,
    part_bytes: int = 8 * 1024 * 1024,  # so that the copies on the way out fit beside a large context
    call_bytes: int = 16 * 1024 * 1024 - 1024,  # what the sandbox passes on in one call, less the rest of the payload
) -> None:
    import sys
    from collections.abc import Iterable
    from json import dumps, loads

    import sandbox  # type: ignore[import-not-found]  # exists only inside the sandbox's guest

    kept: dict[str, object] = {}
    answer: dict[str, object] = {"content": "", "ready": False}
    final: list[str] = []
    partial = [""]
    as_json: list[bool] = []  # not empty: a value that is no text finishes the run as JSON

    def to_text(value: object) -> str:
        """UTF-8 safe text: lone surrogates have no place in what is sent."""
        text = str(value)
        try:
            if not text.isascii():
                text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-8", "replace").decode("utf-8")
        return text  # no copy: prompts together may be as large as the context

    def to_answer(value: object) -> str:
        is_text = isinstance(value, str)
        return to_text(dumps(value, default=str, ensure_ascii=False) if as_json and not is_text else value)

    def to_texts(prompts: Iterable[str]) -> list[str]:
        if isinstance(prompts, str):
            raise TypeError("this takes a list of prompts; for a single one use llm_query or rlm_query")
        return [to_text(prompt) for prompt in prompts]

    def say(message: str) -> None:
        print(message, file=sys.stderr)  # noqa: T201  # the model reads the cell's stderr

    def tell_partial() -> None:
        content = answer.get("content")
        if isinstance(content, str) and content != partial[0]:
            partial[0] = content
            sandbox.emit("rlm.answer", to_text(content[:partial_cap]))

    def ask(name: str, prompts: list[str], model: str | None) -> list[str]:
        """Same length and order. A large batch goes in parts, since a call has a largest size."""
        answers: list[str] = []
        part: list[str] = []
        size = 0
        for prompt in prompts:
            encoded = dumps(prompt, ensure_ascii=False)
            length = len(encoded) if encoded.isascii() else len(encoded.encode())
            if part and (size + length > part_bytes or len(part) == part_prompts):
                answers += ask_part(name, part, model, prompts[len(answers) :])
                part, size = [], 0
            if length > call_bytes:  # the part is empty here
                answers.append("Error: the prompt is larger than 16 MiB")
                continue
            part.append(encoded)
            size += length + 1
        return answers + (ask_part(name, part, model, prompts[len(answers) :]) if part else [])

    def ask_part(name: str, encoded: list[str], model: str | None, prompts: list[str]) -> list[str]:
        tell_partial()
        payload = f'{{"prompts": [{",".join(encoded)}], "model": {dumps(model)}}}'
        encoded.clear()
        reply = loads(sandbox.call(name, payload))
        if "child" in reply:
            become_child(prompts[reply["child"]])
        return list(reply["answers"])

    def become_child(prompt: str) -> None:
        """This session is a copy of the one that asked, made to answer one of its prompts. The cell ends here."""
        answer.clear()
        answer.update(content="", ready=False)
        final.clear()
        as_json.clear()
        partial[0] = ""
        namespace["parent_context"] = kept["context"]
        kept.update(context=prompt, history=[])
        namespace.update(context=prompt, history=kept["history"], answer=answer)
        sandbox.stop()

    def llm_query(prompt: str, model: str | None = None) -> str:
        """Ask the sub-model one prompt. A failure comes back as a string that begins with "Error: "."""
        return ask("llm_query", [to_text(prompt)], model)[0]

    def llm_query_batched(prompts: Iterable[str], model: str | None = None) -> list[str]:
        """Ask the sub-model many prompts at once. Same length and order; a failed slot begins with "Error: "."""
        return ask("llm_query", to_texts(prompts), model)

    def rlm_query(prompt: str, model: str | None = None) -> str:
        """Ask a child run: it has this prompt as its context, and a REPL. At the largest depth this is llm_query."""
        return ask("rlm_query", [to_text(prompt)], model)[0]

    def rlm_query_batched(prompts: Iterable[str], model: str | None = None) -> list[str]:
        """Ask many child runs at once, like llm_query_batched."""
        return ask("rlm_query", to_texts(prompts), model)

    def user_names() -> list[str]:
        module = type(sys)
        return sorted(
            name
            for name, value in namespace.items()
            if not name.startswith("_") and name not in kept and not isinstance(value, module)
        )

    def show_vars() -> str:
        """Names and types of the variables made so far, besides the contract's own."""
        lines = [f"{name}: {type(namespace[name]).__name__}" for name in user_names()]
        return "\n".join(lines) or "no variables yet"

    def finish(text: str) -> None:
        """The first final answer wins. The cell ends here."""
        if not final:
            final.append(text)
        sandbox.stop()

    def final_value(*values: object) -> None:
        """Finish the run with this value as the answer."""
        if len(values) != 1 or (isinstance(values[0], str) and not values[0]):
            say("FINAL needs exactly one value that is not empty; the run goes on.")
            return
        finish(to_answer(values[0]))

    def final_variable(name: object) -> None:
        """Finish the run with the value of the variable of this name."""
        if isinstance(name, str) and name.strip().strip("\"'`") in namespace:
            name = namespace[name.strip().strip("\"'`")]
        elif isinstance(name, str):
            say(f"FINAL_VAR: there is no variable {name[:100]!r}; the run goes on. Variables:\n{show_vars()}")
            return
        finish(to_answer(name))

    def submit(*values: object, **fields: object) -> None:
        """Finish the run: one value as it is, several as JSON."""
        single = [*values, *fields.values()]
        if not single:
            say("SUBMIT needs a value; the run goes on.")
        elif len(single) == 1:
            final_value(single[0])
        else:
            finish(to_text(dumps(fields if not values else [*values, *fields.values()], default=str)))

    def take_answer() -> None:
        """`answer["ready"]` finishes the run; a new dict under the name counts like the old one."""
        given = namespace.get("answer")
        if given is not answer:
            if isinstance(given, dict):
                answer.update(given)
            elif "answer" in namespace:
                say('`answer` is reserved and was restored; set answer["content"] and answer["ready"].')
            namespace["answer"] = answer
        if final or not answer.get("ready"):
            return
        content = answer.get("content")
        if content is None or content == "":
            answer["ready"] = False
            say('answer["ready"] is set but answer["content"] is empty; the run goes on.')
            return
        is_structure = isinstance(content, dict | list)
        final.append(to_text(dumps(content, default=str, ensure_ascii=False)) if is_structure else to_answer(content))

    def restore() -> None:
        for name, value in kept.items():
            if name != "answer" and namespace.get(name) is not value:
                if name in namespace:
                    say(f"`{name}` is reserved and was restored; use another name for your own value.")
                namespace[name] = value

    def after_cell() -> None:
        try:
            take_answer()
            tell_partial()
        finally:
            restore()
        if final:
            namespace["__rlm_final__"] = final[0]
            sandbox.emit("rlm.final", "")

    def lists(parts: list[object]) -> list[list[object]]:
        return [part for part in parts if isinstance(part, list)]

    def reopen() -> None:
        """The final answer did not count."""
        final.clear()
        answer["ready"] = False

    def offer(name: str, description: str) -> None:
        """A function that calls the tool of this name."""

        def tool(**arguments: object) -> object:
            tell_partial()
            return loads(sandbox.call(name, dumps(arguments, allow_nan=False)))

        tool.__name__ = tool.__qualname__ = name
        tool.__doc__ = description
        kept[name] = namespace[name] = tool

    def begin(pieces: int, json_answer: bool = False, tools: dict[str, str] | None = None) -> None:
        """Called once, after the variables arrived. A large context comes in pieces, to keep each request small."""
        as_json.extend([True] if json_answer else [])
        for name, description in (tools or {}).items():
            offer(name, description)
        namespace.pop("__rlm_begin__", None)
        if pieces:
            parts = [namespace.pop(f"__rlm_piece_{index}") for index in range(pieces)]
            texts = [part for part in parts if isinstance(part, str)]
            namespace["context"] = "".join(texts) if texts else [item for part in lists(parts) for item in part]
        kept["context"] = namespace["context"]
        kept["history"] = namespace["history"]

    kept.update(
        answer=answer,
        SHOW_VARS=show_vars,
        llm_query=llm_query,
        llm_query_batched=llm_query_batched,
        rlm_query=rlm_query,
        rlm_query_batched=rlm_query_batched,
        FINAL=final_value,
        FINAL_VAR=final_variable,
        SUBMIT=submit,
    )
    namespace.update(kept, context="", history=[], __rlm_begin__=begin, __rlm_reopen__=reopen)
    sandbox.after_cell(after_cell)


_install(globals())
del _install
