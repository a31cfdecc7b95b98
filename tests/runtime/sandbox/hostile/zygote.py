"""A zygote whose session processes run no guest: the code of a cell is the name of the trick that its process plays.

python -m tests.runtime.sandbox.hostile.zygote SOCKET_FD
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Final

from runtime.sandbox.frames import FIRST, MORE, ONLY, PACKET, Head, receive, send

PAUSE: Final[Head] = {"ran": 0.1, "cpu": 0.1, "memory": 1 << 20, "forked": 0.0}
ANSWER: Final = b'{"status": "ok", "stdout": "answered"}'
HELLO: Final[Head] = {"t": "hello", "memory": 1 << 20}
DONE: Final[Head] = {"t": "done", "answer": len(ANSWER), **PAUSE}


def _raw(data: bytes) -> Callable[[socket.socket], object]:
    return lambda sock: sock.send(data)


def _say(head: Head, body: bytes = ANSWER) -> Callable[[socket.socket], object]:
    return lambda sock: send(sock, head, body)


def _say_often(head: Head, times: int) -> Callable[[socket.socket], object]:
    def say(sock: socket.socket) -> None:
        for _ in range(times):
            send(sock, head, ANSWER)

    return say


def _send_without_end(sock: socket.socket) -> None:
    sock.send(FIRST + b"{")
    while True:
        sock.send(MORE + b"x" * PACKET)


def _send_descriptors(sock: socket.socket) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 100))]
    sock.sendmsg([ONLY + json.dumps(DONE).encode() + b"\n" + ANSWER], rights)


def _speak_as_a_child(sock: socket.socket) -> None:
    if os.fork() == 0:
        send(sock, DONE, ANSWER)
        os._exit(0)
    signal.pause()


TRICKS: Final[dict[str, Callable[[socket.socket], object]]] = {
    "good": _say(DONE),
    "exit": lambda _: os._exit(0),
    "silence": lambda _: signal.pause(),
    "no frame": _raw(b"\xff" * 1000),
    "no head": _raw(ONLY + b"\xff\x00\n"),
    "deep head": _raw(ONLY + b"[" * 90_000),
    "half a message": lambda sock: (sock.send(FIRST + b'{"t": "done"'), os._exit(0)),
    "too large a packet": _raw(ONLY + b"x" * (PACKET + 1000)),
    "without end": _send_without_end,
    "descriptors": _send_descriptors,
    "from a child": _speak_as_a_child,
    "done without fields": _say({"t": "done"}),
    "done with NaN": _say({**DONE, "ran": float("nan")}),
    "done with a negative time": _say({**DONE, "cpu": -1}),
    "done with huge numbers": _say({**DONE, "memory": 10**30}),
    "done with a lone surrogate": _say({**DONE, "raw_stdout": "\ud800"}),
    "done a thousand times": _say_often(DONE, 1000),
    "promoted without fields": _say({"t": "promoted"}),
    "promoted with wrong types": _say({"t": "promoted", "cell": [], "epoch": "x"}),
    "promoted without having been killed": _say({"t": "promoted", "cell": 99, "epoch": 7, "begun": 0}),
    "promoted a thousand times": _say_often({"t": "promoted", "cell": 0, "epoch": 1, "begun": 0}, 1000),
    "hello a thousand times": _say_often(HELLO, 1000),
    "died a thousand times": _say_often(
        {"t": "died", "kind": "x", "detail": "y", "ran": 0.1, "cpu": 0.1, "memory": 1 << 20}, 1000
    ),
    "ready": _say({"t": "ready", "missing": []}),
    "a call of anything": _say({"t": "call", **PAUSE}, b'{"name": "ask", "payload": ""}'),
    "a call that is none": _say({"t": "call", **PAUSE}, b"\xff"),
    "an answer that is none": _say(DONE, b"\xff"),
    "an answer that is deep": _say(DONE, b"[" * 100_000),
    "an answer of many values": _say(DONE, b'{"status": "ok", "x": [' + b"[]," * 5_000_000 + b"1]}"),
    "an answer with many local values": _say(
        DONE,
        b'{"status": "ok", "locals": {"x": {"type": "", "repr": "", "value": [' + b"[]," * 5_000_000 + b"1]}}}",
    ),
    "an answer with a huge name": _say(
        DONE, b'{"status": "ok", "locals": {"' + b"x" * 50_000_000 + b'": {"type": "", "repr": ""}}}'
    ),
}


def requests(sock: socket.socket) -> Iterator[str]:
    """The code of each cell; other requests are answered well."""
    while True:
        head, body, _ = receive(sock)
        if head["t"] == "exit":
            os._exit(0)
        if head["t"] == "request":
            yield json.loads(body).get("code", "good")


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    send(control, {"t": "ready", "missing": []})
    while True:
        _, _, (descriptor,) = receive(control)
        if os.fork() == 0:
            sock = socket.socket(fileno=descriptor)
            control.close()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what it dies of is of no interest
            send(sock, HELLO)
            for code in requests(sock):
                TRICKS[code](sock)
        os.close(descriptor)


if __name__ == "__main__":
    main()
