"""Names in DNS: looked up once for all who ask, remembered for a while, and never waited for without end."""

from __future__ import annotations

import asyncio
import threading
from ipaddress import ip_address

from rlm_operator.endpoint import IPAddress
from rlm_operator.resolver import Resolver, look_up

FOUND = (ip_address("203.0.113.9"),)


class Directory:
    """A look-up that counts; `release` lets it answer."""

    def __init__(self, *answers: tuple[IPAddress, ...]) -> None:
        self.asked: list[str] = []
        self.called = threading.Event()
        self.release = threading.Event()
        self.release.set()
        self._answers = list(answers)

    def __call__(self, host: str) -> tuple[IPAddress, ...]:
        self.asked.append(host)
        self.called.set()
        self.release.wait(30)
        if not self._answers:
            raise OSError("no such name")
        return self._answers.pop(0)


async def test_an_answer_is_remembered_for_five_minutes_and_a_failure_for_one() -> None:
    now, directory = 0.0, Directory(FOUND)
    resolver = Resolver(directory, clock=lambda: now)
    assert await resolver.resolve("a.test") == FOUND
    now = 299.0
    assert await resolver.resolve("a.test") == FOUND
    now = 301.0
    assert await resolver.resolve("a.test") == ()
    now = 360.0
    assert await resolver.resolve("a.test") == ()
    assert directory.asked == ["a.test", "a.test"]
    now = 362.0
    await resolver.resolve("a.test")
    assert len(directory.asked) == 3


async def test_who_asks_for_the_same_name_at_once_shares_one_look_up() -> None:
    directory = Directory(FOUND)
    directory.release.clear()
    resolver = Resolver(directory)
    asking = [asyncio.create_task(resolver.resolve("a.test")) for _ in range(5)]
    assert await asyncio.to_thread(directory.called.wait, 30)
    directory.release.set()
    assert await asyncio.gather(*asking) == [FOUND] * 5
    assert directory.asked == ["a.test"]


async def test_a_look_up_that_hangs_counts_as_no_answer() -> None:
    directory = Directory(FOUND)
    directory.release.clear()
    resolver = Resolver(directory)
    assert await resolver.resolve("slow.test") == ()
    directory.release.set()
    resolver.close()


def test_a_name_is_looked_up_as_the_machine_does_it() -> None:
    assert ip_address("127.0.0.1") in look_up("localhost")
