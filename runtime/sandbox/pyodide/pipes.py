"""The relay's end of the two pipes to Node: frames out, messages in, both blocking.

The formats are those of `driver.mjs`. Whatever runs in Node may be the guest's own code, so lengths are capped and
anything unexpected is a PipeError, which ends the session.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from runtime.sandbox.frames import MAX_BODY

FRAME: Final = struct.Struct("<Ic")  # length of the body, kind
MESSAGE: Final = struct.Struct("<II")  # length of the head, length of the body
MAX_HEAD: Final = 4096
MAX_RAW_OUTPUT: Final = 32 << 20  # stdout and stderr at the largest cap that the settings allow
CHUNK: Final = 1 << 20

Frame = Literal[b"B", b"L", b"R", b"F"]  # begin, memory limit, reply, bytes of a variable


class PipeError(Exception):
    """Node is gone, or does not speak as the driver does."""


@dataclass(frozen=True)
class Message:
    """N answer and wait for a request, C host call, P wants `length` bytes, G hands bytes over, X the driver's end."""

    kind: str
    body: bytes
    memory: int = 0  # bytes of linear memory
    length: int = 0
    detail: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False


class NodePipes:
    """`reading` and `writing` are descriptors."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = reading
        self._writing = writing

    def send(self, kind: Frame, body: bytes) -> None:
        self.send_parts(kind, len(body), iter((body,)))

    def send_parts(self, kind: Frame, length: int, parts: Iterator[bytes | memoryview]) -> None:
        """`parts` have `length` bytes together."""
        try:
            self._write(FRAME.pack(length, kind))
            for part in parts:
                self._write(part)
        except OSError as error:
            raise PipeError("Node is gone") from error

    def receive(self) -> Message:
        head_length, body_length = MESSAGE.unpack(self._read(MESSAGE.size))
        if head_length > MAX_HEAD or body_length > MAX_BODY + MAX_RAW_OUTPUT:
            raise PipeError(f"a message of {head_length} and {body_length} bytes")
        head, body = self._read(head_length), self._read(body_length)
        try:
            parsed = json.loads(head)
            if not isinstance(parsed, dict):
                raise TypeError("a head is an object")
            return _parse(parsed, body)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise PipeError(f"a message that is not the driver's: {error}") from error

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._writing, view) :]

    def _read(self, length: int) -> bytes:
        if length == 0:
            return b""
        data = bytearray(length)
        view, done = memoryview(data), 0
        while done < length:
            part = os.read(self.reading, min(CHUNK, length - done))
            if not part:
                raise PipeError("Node is gone")
            view[done : done + len(part)] = part
            done += len(part)
        return bytes(data)


def _parse(head: dict[str, object], body: bytes) -> Message:
    """The head's own lengths say where raw output ends and the guest's message begins."""
    stdout, stderr = _number(head, "stdout"), _number(head, "stderr")
    return Message(
        kind=str(head["kind"]),
        body=body[stdout + stderr :],
        memory=_number(head, "memory"),
        length=_number(head, "length"),
        detail=str(head.get("detail", "")),
        stdout=body[:stdout],
        stderr=body[stdout : stdout + stderr],
        stdout_truncated=head.get("stdout_truncated") is True,
        stderr_truncated=head.get("stderr_truncated") is True,
    )


def _number(head: dict[str, object], name: str) -> int:
    value = head.get(name, 0)
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise ValueError(f"{name} is no size")
    return value
