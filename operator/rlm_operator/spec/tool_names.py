"""Names that a tool can not have, since they mean something in the REPL or in Python; as the CRD's rule has them.

Tools begin with a lower-case letter, so the exceptions of Python are not among them. A test compares this list with the
inference plane's own and with Python's.
"""

from __future__ import annotations

from typing import Final

_REPL: Final = "answer context history llm_query llm_query_batched parent_context rlm_query rlm_query_batched sandbox"
_KEYWORDS: Final = (
    "and as assert async await break class continue def del elif else except finally for from global if import in is "
    "lambda nonlocal not or pass raise return try while with yield"
)
_BUILTINS: Final = (
    "abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex "
    "copyright credits delattr dict dir divmod enumerate eval exec exit filter float format frozenset getattr globals "
    "hasattr hash help hex id input int isinstance issubclass iter len license list locals map max memoryview min next "
    "object oct open ord pow print property quit range repr reversed round set setattr slice sorted staticmethod str "
    "sum super tuple type vars zip"
)
TAKEN_NAMES: Final = frozenset(f"{_REPL} {_KEYWORDS} {_BUILTINS}".split())
