"""What the stand-in can count in a piece of text, each by a rule.

`questions.py` recognises the words, `pieces.py` counts when it plays the sub-model. Python's own constructs are counted
by its parser where the piece is whole Python, so that an example in a docstring does not count.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Countable:
    """`plural` is how questions and answers say it, `task` how the prompt of a sub-call says it."""

    plural: str
    task: str
    verb: str  # "are defined": what the answer says they do
    count: Callable[[str], int]


def _python_counter(pattern: str, *kinds: type[ast.AST]) -> Callable[[str], int]:
    lines = re.compile(pattern, re.MULTILINE)

    def count(text: str) -> int:
        by_line = len(lines.findall(text))
        if not by_line:
            return 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in somebody else's source
                tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return by_line  # a part of a file, another language, or not for this Python
        return sum(isinstance(node, kinds) for node in ast.walk(tree))

    return count


def _pattern_counter(pattern: str) -> Callable[[str], int]:
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda text: len(compiled.findall(text))


_ALL: Final = (
    Countable(
        "classes",
        "class definitions",
        "are defined",
        _python_counter(r"^[ \t]*class[ \t]+[^\W\d]\w*[ \t]*[\[(:]", ast.ClassDef),
    ),
    Countable(
        "functions",
        "function definitions (methods included)",
        "are defined",
        _python_counter(
            r"^[ \t]*(?:async[ \t]+)?def[ \t]+[^\W\d]\w*[ \t]*[\[(]", ast.FunctionDef, ast.AsyncFunctionDef
        ),
    ),
    Countable(
        "import statements",
        "import statements",
        "are there",
        _python_counter(r"^[ \t]*(?:import|from)[ \t]+[\w.]+", ast.Import, ast.ImportFrom),
    ),
    Countable("questions", "questions", "are there", _pattern_counter(r"\w[\"')]*\?(?=\s|[\"')]|$)")),
    Countable(
        "email addresses",
        "email addresses",
        "are there",
        _pattern_counter(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}"),
    ),
    Countable("links", "links (http and https)", "are there", _pattern_counter(r"\bhttps?://[^\s<>\"')\]]+")),
    Countable("dates", "dates written YYYY-MM-DD", "are there", _pattern_counter(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")),
)

COUNTABLES: Final[Mapping[str, Countable]] = MappingProxyType({countable.plural: countable for countable in _ALL})

SYNONYMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "class definitions": "classes",
        "function definitions": "functions",
        "imports": "import statements",
        "emails": "email addresses",
        "e-mail addresses": "email addresses",
        "urls": "links",
    }
)
"""Other words for a plural above."""
