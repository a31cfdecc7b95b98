"""Any bytes from a session process: whoever waits for it has an outcome, and nothing of the server breaks."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.sandbox.channel import Channel, socket_pair
from runtime.sandbox.frames import FIRST, LAST, MORE, ONLY, Head
from runtime.sandbox.intake import Intake
from runtime.sandbox.process import Answer, Call, End, Ended, SessionProcess
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import alive, descriptors
from tests.runtime.sandbox.test_reports import GOOD, JSON, message

SECONDS: Final = 60.0
REQUEST: Final[Head] = {"policy": "off", "cell": 1, "cover": False}

HELLO: Final = ONLY + message({"t": "hello", "memory": 1 << 24})
HEADS: Final = st.sampled_from(GOOD)
MESSAGES: Final = st.builds(
    message,
    HEADS | JSON | st.builds(lambda head, key, value: {**head, key: value}, HEADS, st.text(), JSON),
    st.binary(),
)
PACKETS: Final = st.lists(
    st.binary(min_size=1, max_size=200)
    | st.builds(bytes.__add__, st.sampled_from([ONLY, FIRST, MORE, LAST, b"X"]), MESSAGES | st.binary()),
    max_size=12,
)


@contextlib.contextmanager
def a_process(speak: Callable[[socket.socket], None]) -> Iterator[tuple[SessionProcess, int]]:
    """A session process as the server sees it, and the id of the one that speaks in its place until it is killed."""
    ours, theirs = socket_pair()
    process = SessionProcess(on_gone=lambda _: None)
    process.attach(Channel(ours, process.received, process.ended, Intake()))
    if (child := os.fork()) == 0:
        with contextlib.suppress(OSError):
            speak(theirs)
        os._exit(0)
    theirs.close()
    try:
        yield process, child
    finally:
        process.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


async def told(packets: list[bytes]) -> tuple[object, list[dict[str, Any]]]:
    """The outcome of a request that is answered with `packets` and the end, and what went wrong in the event loop."""
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))

    def speak(sock: socket.socket) -> None:
        sock.recv(1)  # the request
        for packet in packets:
            sock.send(packet)

    with a_process(speak) as (process, _):
        outcome = await asyncio.wait_for(process.request(REQUEST, b"{}", None), SECONDS)
        await eventually(lambda: process.gone)
    return outcome, problems


@settings(deadline=None)
@given(PACKETS)
def test_a_request_that_is_answered_with_any_packets_has_an_outcome(packets: list[bytes]) -> None:
    outcome, problems = asyncio.run(told(packets))
    assert isinstance(outcome, Answer | Call | Ended)
    assert problems == []


async def test_a_process_that_is_cut_off_is_killed() -> None:
    def speak(sock: socket.socket) -> None:
        sock.send(HELLO)
        sock.recv(1)
        sock.send(ONLY + b"no head")
        signal.pause()

    with a_process(speak) as (process, child):
        await asyncio.wait_for(process.ready, SECONDS)
        outcome = await asyncio.wait_for(process.request(REQUEST, b"{}", None), SECONDS)
        assert isinstance(outcome, Ended)
        assert (outcome.end, outcome.promoted_to) == (End.DIED, None)
        await eventually(lambda: not alive({child}))


async def test_descriptors_that_a_process_sends_are_not_taken() -> None:
    def speak(sock: socket.socket) -> None:
        sock.recv(1)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 50))]
        sock.sendmsg([HELLO], rights)
        sock.sendmsg([ONLY + message(GOOD[-1])], rights)

    with a_process(speak) as (process, _):
        before = set(descriptors(os.getpid()))
        outcome = await asyncio.wait_for(process.request(REQUEST, b"{}", None), SECONDS)
        assert isinstance(outcome, Answer)
        assert len(set(descriptors(os.getpid())) - before) <= 1  # its pidfd
