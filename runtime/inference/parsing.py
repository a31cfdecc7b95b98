"""Reads a root model's reply: the code to run, and a final answer written as text.

Called by the loop on every reply. Models are tuned to either of two dialects, so both are read: fenced code whose
functions finish the run, and `FINAL(...)` / `FINAL_VAR(...)` at the start of a line. One pass from left to right
decides what each part is, so that an answer which holds code is not run, and a fence inside a string does not end it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Final

_THINK: Final = re.compile(r"<(?:think|thinking)>")
_LINE_START_THINK: Final = re.compile(r"[ \t]*<(?:think|thinking)>")
_THINK_PAIR: Final = re.compile(r"[ \t]*<(think|thinking)>.*?</\1>", re.DOTALL)
_BARE_THINK_END: Final = re.compile(r"</(?:think|thinking)>[ \t]*(?:\n|\Z)")
_FENCE: Final = re.compile(r"(?P<indent>[ \t]*)(?P<ticks>`{3,}|~{3,})[ \t]*(?P<info>[^\n`]*)(?:\n|\Z)")
_CODE_INFO: Final = re.compile(r"(?:repl|python|py)\b(?![\w.+-])", re.IGNORECASE)
_FINAL: Final = re.compile(r"[ \t]*(?P<name>FINAL|FINAL_VAR)\(")
_STRING_ARGUMENT: Final = re.compile(
    r"""\s*(?P<literal>[rRuU]?(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))\s*\)""",
    re.DOTALL,
)
_MAX_UNBALANCED: Final = 8  # each one scans to the end of the reply
_PYTHON_STRING_START: Final = re.compile(r"\"{3}|'{3}|\"|'|#")


@dataclass(frozen=True)
class FinalText:
    """`FINAL(...)`: the answer itself."""

    text: str


@dataclass(frozen=True)
class FinalVariable:
    """`FINAL_VAR(...)`: the name of the variable that holds the answer."""

    name: str


@dataclass(frozen=True)
class Reply:
    """What a reply asks for. `blocks` run first, in order; then `final` counts."""

    text: str  # without reasoning, with \n line ends
    blocks: tuple[str, ...] = ()
    final: FinalText | FinalVariable | None = None
    empty_final: bool = False  # said `FINAL()` and nothing better


def parse_reply(text: str) -> Reply:
    """Take a reply apart. Never raises: what is not understood is prose."""
    text = _drop_reasoning_head(text.replace("\r\n", "\n"))
    kept: list[str] = []
    blocks: list[str] = []
    final: FinalText | FinalVariable | None = None
    empty_final = False
    unbalanced = 0
    position = 0
    while position < len(text):
        end = _reasoning_end(text, position)
        if end is not None:
            position = end
            continue
        fence = _FENCE.match(text, position)
        call = _FINAL.match(text, position) if not fence and unbalanced < _MAX_UNBALANCED else None
        argument = _final_argument(text, call.end()) if call else None
        unbalanced += call is not None and argument is None
        if fence and _CODE_INFO.match(fence["info"]):
            code, end = _read_block(text, fence)
            if code.strip():
                blocks.append(code)
        elif fence:
            end = _foreign_block_end(text, fence)
        elif call and argument:
            found, end = _build_final(call["name"], argument.text), argument.end
            empty_final |= found is None
            final = final or found
            end = _line_end(text, end)
        else:
            end = _prose_end(text, position)
        kept.append(text[position:end])
        position = end
    return Reply(
        text="".join(kept).strip(),
        blocks=tuple(blocks),
        final=final,
        empty_final=empty_final and final is None,
    )


def _drop_reasoning_head(text: str) -> str:
    """Some chat templates open the reasoning themselves: then only its end is in the reply."""
    end = _BARE_THINK_END.search(text)
    if end and not _THINK.search(text, 0, end.start()):
        return text[end.end() :]
    return text


def _reasoning_end(text: str, position: int) -> int | None:
    """Where the reasoning that starts this line ends: the whole rest when it was cut off."""
    if not _LINE_START_THINK.match(text, position):
        return None
    pair = _THINK_PAIR.match(text, position)
    return pair.end() if pair else len(text)


def _prose_end(text: str, position: int) -> int:
    """The end of this line, or the start of complete reasoning inside it."""
    end = _line_end(text, position)
    think = _THINK.search(text, position, end)
    return think.start() if think and _THINK_PAIR.match(text, think.start()) else end


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1


def _read_block(text: str, fence: re.Match[str]) -> tuple[str, int]:
    """The code after an opening fence, and where the text goes on.

    The block ends at the first closing fence that is not inside a triple-quoted string; when every one is (the string
    was never closed) at the first; when there is none (the reply was cut off) at the end.
    """
    ticks, indent = fence["ticks"], len(fence["indent"])
    closing = re.compile(rf"[ \t]*{re.escape(ticks[0])}{{{len(ticks)},}}[ \t]*(?:\n|\Z)")
    lines: list[str] = []
    fallback: tuple[str, int] | None = None
    quote: str | None = None
    position = fence.end()
    while position < len(text):
        if close := closing.match(text, position):
            fallback = fallback or ("".join(lines), close.end())
            if quote is None:
                return "".join(lines), close.end()
        end = _line_end(text, position)
        line = _without_indent(text[position:end], indent)
        quote = _open_quote(line, quote)
        lines.append(line)
        position = end
    return fallback or ("".join(lines), len(text))


def _foreign_block_end(text: str, fence: re.Match[str]) -> int:
    """A block in another language is shown, not run; a stray fence must not swallow the code that follows it."""
    following = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*(?P<info>[^\n`]*)(?:\n|\Z)", re.MULTILINE)
    closing = following.search(text, fence.end())
    return closing.end() if closing and not closing["info"].strip() else fence.end()


def _without_indent(line: str, indent: int) -> str:
    """An indented fence (in a list item) indents its code as far."""
    return line[min(indent, len(line) - len(line.lstrip(" \t"))) :]


def _open_quote(line: str, quote: str | None) -> str | None:
    """Which triple quote is open after this line of Python, given the one open before it."""
    position = 0
    while position < len(line):
        if quote is not None:
            end = _string_end(line, position, quote)
            if end is None:
                return quote
            quote, position = None, end
            continue
        start = _PYTHON_STRING_START.search(line, position)
        if start is None or start[0] == "#":
            return None
        position = start.end()
        if len(start[0]) == 3:
            quote = start[0]
        else:
            position = _string_end(line, position, start[0]) or len(line)
    return quote


def _string_end(line: str, position: int, quote: str) -> int | None:
    while position < len(line):
        if line[position] == "\\":
            position += 2
        elif line.startswith(quote, position):
            return position + len(quote)
        else:
            position += 1
    return None


@dataclass(frozen=True)
class _Argument:
    text: str
    end: int  # just after the closing parenthesis


def _final_argument(text: str, start: int) -> _Argument | None:
    """What stands between the parentheses of `FINAL(`; None when they do not balance before the text ends."""
    literal = _STRING_ARGUMENT.match(text, start)
    if literal:
        value = _string_value(literal["literal"])
        if value is not None:
            return _Argument(value, literal.end())
    depth = 1
    for match in re.compile(r"[()]").finditer(text, start):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return _Argument(text[start : match.start()].strip(), match.end())
    line = text[start : _line_end(text, start)].rstrip()
    if line.endswith(")"):  # an unbalanced parenthesis in the answer itself
        return _Argument(line[:-1].strip(), start + len(line))
    return None


def _string_value(literal: str) -> str | None:
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, str) else None


def _build_final(name: str, argument: str) -> FinalText | FinalVariable | None:
    if not argument.strip():
        return None
    if name == "FINAL":
        return FinalText(argument)
    return FinalVariable(argument.strip().strip("\"'`"))
