"""Which addresses tools may connect to, whatever a name resolves to."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from runtime.inference.tools.addresses import AddressRefusedError, CheckedResolver, is_refused

PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "100.64.0.1", "::1", "fd12::1", "0.1.2.3", "240.0.0.1"]
NEVER = [
    "169.254.169.254",  # metadata of most clouds
    "100.100.100.200",
    "fd00:ec2::254",
    "169.254.1.1",
    "fe80::1",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",  # NAT64 of 169.254.169.254
    "2002:a9fe:a9fe::1",  # 6to4 of it
]
IN_DISGUISE = ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"]
PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]


class Names(AbstractResolver):
    """Answers in turn; `asked` counts."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        assert family in {socket.AF_UNSPEC, socket.AF_INET}
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in answer
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("address", [*PRIVATE, *IN_DISGUISE])
def test_a_private_address_is_refused_unless_it_is_allowed(address: str) -> None:
    assert is_refused(ipaddress.ip_address(address), allow_private=False)
    assert not is_refused(ipaddress.ip_address(address), allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_link_local_multicast_and_metadata_addresses_are_always_refused(address: str) -> None:
    assert is_refused(ipaddress.ip_address(address), allow_private=False)
    assert is_refused(ipaddress.ip_address(address), allow_private=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not_refused(address: str) -> None:
    assert not is_refused(ipaddress.ip_address(address), allow_private=False)


async def test_a_name_with_one_private_address_among_others_is_refused() -> None:
    with pytest.raises(AddressRefusedError, match=r"tool\.example resolves to 10\.0\.0\.1"):
        await CheckedResolver(Names(["93.184.216.34", "10.0.0.1"]), allow_private=False).resolve("tool.example")


async def test_what_was_checked_is_what_is_given_out_and_the_name_is_asked_once() -> None:
    names = Names(["93.184.216.34"], ["127.0.0.1"])  # another address the second time
    found = await CheckedResolver(names, allow_private=False).resolve("tool.example", 443)
    assert ([each["host"] for each in found], names.asked) == (["93.184.216.34"], 1)
