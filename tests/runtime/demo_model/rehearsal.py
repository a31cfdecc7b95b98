"""A run of the stand-in without the two planes: its code is executed here, in a plain namespace.

The transcript is built by the inference plane's own prompts and read by its own parser, so what the stand-in sees and
says is what it sees and says in a real run. Only ever used with code that the stand-in wrote.
"""

from __future__ import annotations

import contextlib
import io
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openai import OpenAI

from runtime.inference.observation import describe_cell
from runtime.inference.parsing import FinalText, FinalVariable, parse_reply
from runtime.inference.prompts import Message, open_transcript
from runtime.inference.question import Context, Question
from runtime.wire import CellError, CellReply, Status

MODEL = "scripted-demo"


@dataclass
class Rehearsal:
    """`before_cell(number)` may raise, to play a cell that fails."""

    client: OpenAI
    before_cell: Callable[[int], None] = lambda _: None
    turns: int = 0
    prompts: list[str] = field(default_factory=list)
    """Of the sub-calls."""

    def ask(self, text: str, context: Context, value: object) -> str:
        """The final answer; `value` is what the code finds as `context`."""
        transcript = open_transcript(Question(text, context))
        namespace: dict[str, Any] = {
            "context": value,
            "llm_query": self._query,
            "llm_query_batched": lambda prompts: [self._query(prompt) for prompt in prompts],
        }
        for _ in range(10):
            self.turns += 1
            reply = parse_reply(self._complete(transcript))
            transcript.append(Message(role="assistant", content=reply.text))
            shown = [describe_cell(1, self._execute(code, namespace), "0000") for code in reply.blocks]
            match reply.final:
                case FinalText(answer):
                    return answer
                case FinalVariable(name):
                    return str(namespace[name])
            transcript.append(Message(role="user", content="\n\n".join(shown)))
        raise AssertionError("no final answer after ten turns")

    def _query(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return self._complete([Message(role="user", content=prompt)])

    def _complete(self, messages: list[Message]) -> str:
        completion = self.client.chat.completions.create(model=MODEL, messages=messages)  # type: ignore[arg-type]  # the same shape, as another TypedDict
        return completion.choices[0].message.content or ""

    def _execute(self, code: str, namespace: dict[str, Any]) -> CellReply:
        printed = io.StringIO()
        reply = CellReply(session_id="rehearsal", cell=self.turns, status=Status.OK)
        try:
            with contextlib.redirect_stdout(printed):
                self.before_cell(self.turns)
                exec(code, namespace)  # noqa: S102  # the stand-in's own code is what is tested
        except Exception as error:  # noqa: BLE001  # whatever a cell raises is its outcome
            traceback.print_exc()
            cell_error = CellError(type=type(error).__name__, message=str(error), line=None)
            reply = reply.model_copy(update={"status": Status.ERROR, "error": cell_error})
        return reply.model_copy(update={"stdout": printed.getvalue()})
