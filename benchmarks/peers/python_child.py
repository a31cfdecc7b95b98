"""The program in a plain Python child: the line protocol of `line_child.py`, cells by `exec`. No isolation at all."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any

source, sink = sys.stdin, sys.stdout


def say(**reply: object) -> None:
    sink.write(json.dumps(reply) + "\n")
    sink.flush()


def ask(payload: str) -> str:
    say(call=payload)
    return str(json.loads(source.readline())["answer"])


def main() -> None:
    names: dict[str, Any] = {"ask": ask}
    for line in source:
        request = json.loads(line)
        if "put" in request:
            names[request["put"][0]] = request["put"][1]
            say(out="")
        elif "get" in request:
            say(value=names[request["get"]])
        else:
            printed = io.StringIO()
            try:
                with contextlib.redirect_stdout(printed):
                    exec(request["run"], names)  # noqa: S102  # running code is what it is for
            except Exception as error:  # noqa: BLE001  # whatever a cell raises is the answer
                say(error=f"{type(error).__name__}: {error}")
            else:
                say(out=printed.getvalue())


main()
