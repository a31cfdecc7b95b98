"""Headers that a spec adds to requests of the inference pods: to tools, and to models."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
_OWN: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type", "cookie"})


def _header_name(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(
            "a header has a name of up to 64 letters, digits, - and _, and begins with a letter or digit: "
            "correct the name"
        )
    if name.lower() in _OWN:
        raise ValueError(
            "a header that each request sets by itself (host, content-type, content-length, connection, "
            "transfer-encoding, cookie) can not be declared: remove it"
        )
    return name


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, Field(max_length=1024, pattern=r"^[ -~]*$")]
