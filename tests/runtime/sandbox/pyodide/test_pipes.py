"""Whatever runs in Node may say anything: it is parsed, capped or refused, and never more."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.sandbox.pyodide.pipes import Message, NodePipes, PipeError


def received(data: bytes) -> Message:
    """What `data`, and then the end of the pipe, is taken for. `data` fits into a pipe."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        return NodePipes(reading, -1).receive()
    finally:
        os.close(reading)


def message(head: object, body: bytes = b"") -> bytes:
    encoded = json.dumps(head).encode()
    return struct.pack("<II", len(encoded), len(body)) + encoded + body


def test_a_message_is_taken_apart_by_the_lengths_in_its_head() -> None:
    head = {"kind": "N", "memory": 5, "stdout": 2, "stderr": 1, "stdout_truncated": True}
    assert received(message(head, b"abcdef")) == Message(
        kind="N", body=b"def", memory=5, stdout=b"ab", stderr=b"c", stdout_truncated=True
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        message({"kind": "N"}, b"body")[:-1],
        message([]),
        message({}),
        message({"kind": "N", "memory": -1}),
        message({"kind": "N", "memory": "1"}),
        message({"kind": "N", "memory": True}),
        message({"kind": "N", "length": 1 << 50}),
        message({"kind": "N", "stdout": 1.5}),
        struct.pack("<II", 5, 0) + b"\xff\xfe{}\0",
        struct.pack("<II", 4096, 0) + b"[" * 4096,
        struct.pack("<II", 4097, 0) + b" " * 4097,
        struct.pack("<II", 2, 1 << 31) + b"{}",
    ],
)
def test_what_no_driver_says_is_refused(data: bytes) -> None:
    with pytest.raises(PipeError):
        received(data)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=300) | st.builds(message, st.dictionaries(st.text(max_size=8), st.integers() | st.text())))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    with contextlib.suppress(PipeError):
        assert isinstance(received(data), Message)


def test_frames_reach_the_other_end_whole_and_a_closed_end_is_an_error() -> None:
    reading, writing = os.pipe()
    pipes = NodePipes(-1, writing)

    def parts() -> Iterator[bytes]:
        yield b"ab"
        yield b"c"

    pipes.send(b"R", b"body")
    pipes.send_parts(b"F", 3, parts())
    assert os.read(reading, 100) == b"\x04\0\0\0Rbody" + b"\x03\0\0\0Fabc"
    os.close(reading)
    with pytest.raises(PipeError):
        pipes.send(b"R", b"")
    os.close(writing)
