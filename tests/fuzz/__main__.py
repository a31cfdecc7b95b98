"""A search, guided by coverage, for bytes of a session process that the server does not survive.

    python -m tests.fuzz SECONDS [FOLDER]

Needs `atheris`, which `make fuzz` installs. The suite has the same property over random examples
(`test_hostile_process.py`, `test_reports.py`); this one learns what leads to new lines of the code. FOLDER keeps what
it found, for the next search to begin with. It ends with status 77 at the first input that raises what it must not.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["runtime"]):
    from runtime.json_size import has_more_values_than
    from runtime.sandbox.envelope import ForgedEnvelopeError, parse_answer, parse_call, parse_get, parse_put
    from runtime.sandbox.frames import ONLY, Assembly
    from runtime.sandbox.reports import ForgedReportError, parse_report

from tests.runtime.sandbox.test_reports import GOOD, message

MAX_INPUT: Final = 4096
ANSWER: Final = b'{"status": "ok", "result": "1", "locals": {"x": {"type": "int", "repr": "1"}}, "stdout": "out"}'


def read_as_the_server_does(data: bytes) -> None:
    """`data` is packets with a byte of length before each; every message that they make is read as each kind."""
    assembly = Assembly()
    while data:
        length = data[0] * 8
        packet, data = data[1 : 1 + length], data[1 + length :]
        message = assembly.add(packet) if packet else None
        if message is None:
            continue
        body = message
        with contextlib.suppress(ForgedReportError):
            _, body = parse_report(message)
        has_more_values_than(10, body)
        for parse in (parse_answer, parse_call, parse_put, parse_get):
            with contextlib.suppress(ForgedEnvelopeError):
                parse(body)


def main() -> None:
    seconds, *folders = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        for number, head in enumerate(GOOD):
            packet = ONLY + message(head, ANSWER)
            packet += b" " * (-len(packet) % 8)
            (Path(scratch) / f"seed-{number}").write_bytes(bytes([len(packet) // 8]) + packet)
        options = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT}", f"-artifact_prefix={scratch}/"]
        atheris.Setup([sys.argv[0], *options, *folders, scratch], read_as_the_server_does)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
