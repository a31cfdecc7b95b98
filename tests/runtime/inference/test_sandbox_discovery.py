"""A pool behind one name, as a headless Service is: servers that come are used, those that go get nothing new."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from runtime.inference.breaker import BreakerState
from runtime.inference.discovery import resolve_host
from runtime.inference.errors import SandboxUnavailableError, SandboxUnreachableError
from runtime.inference.sandbox_client import SandboxClient
from runtime.inference.sandbox_tls import open_sandbox_tls
from runtime.wire import ExecuteRequest, SessionRequest
from tests.ports import free_port
from tests.runtime.certificates import contents, issue, mount
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox
from tests.runtime.tls_server import serve

DEADLINE = 60.0
NAME = "pool.test"
FIRST, SECOND = "127.0.0.2", "127.0.0.3"  # a pod each


@dataclass
class Names:
    """A name server. `away`: it does not answer."""

    addresses: list[str] = field(default_factory=list)
    away: bool = False

    async def resolve(self, host: str, port: int) -> list[str]:
        assert (host, port > 0) == (NAME, True)
        if self.away:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no addresses")
        return self.addresses


@pytest.fixture(scope="module")
def port() -> int:
    return free_port("0.0.0.0")


@pytest.fixture(scope="module")
def pods(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SandboxProcess]]:
    folders = {address: tmp_path_factory.mktemp("pod") for address in (FIRST, SECOND)}
    settings = {"SANDBOX_PORT": str(port)}
    with (
        run_sandbox(folders[FIRST], SANDBOX_HOST=FIRST, **settings) as first,
        run_sandbox(folders[SECOND], SANDBOX_HOST=SECOND, **settings) as second,
    ):
        yield {FIRST: first, SECOND: second}


@pytest.fixture
def names() -> Names:
    return Names([FIRST])


@pytest.fixture
async def client(pods: dict[str, SandboxProcess], port: int, names: Names) -> AsyncIterator[SandboxClient]:
    opened = SandboxClient(f"http://{NAME}:{port}", pods[FIRST].key_file, resolve=names.resolve, interval=0.02)
    yield opened
    await opened.close()


async def where(client: SandboxClient) -> tuple[str, str]:
    """Make a session: its id, and the address of the server that only knows its own."""
    session = (await client.create_session(SessionRequest())).session_id
    holder = client.holder_of(session)
    assert holder is not None
    return session, holder.split("//")[1].split(":")[0]


async def until_only(client: SandboxClient, *addresses: str) -> None:
    """New sessions go to these, and only to these."""
    found: set[str] = set()
    async with asyncio.timeout(DEADLINE):
        while found != set(addresses):
            with contextlib.suppress(SandboxUnreachableError):
                found = {(await where(client))[1] for _ in range(8)}
            await asyncio.sleep(0.02)


async def test_servers_that_come_are_used_and_those_that_go_keep_only_their_sessions(
    client: SandboxClient, names: Names
) -> None:
    session, address = await where(client)
    assert address == FIRST
    names.addresses = [FIRST, SECOND]
    await until_only(client, FIRST, SECOND)
    assert client.count_servers(BreakerState.CLOSED) == 2
    names.addresses = [SECOND]
    await until_only(client, SECOND)
    request = ExecuteRequest(code="21 * 2", session_id=session, create=False)
    assert (await client.execute(request)).result == "42"
    assert (await client.touch([session])).renewed == [session]


async def test_name_without_addresses_has_no_server_until_it_has_one_again(client: SandboxClient, names: Names) -> None:
    names.addresses = []
    with pytest.raises(SandboxUnreachableError, match=NAME):
        await client.create_session(SessionRequest())
    names.addresses = [SECOND]
    await until_only(client, SECOND)


async def test_pod_that_was_replaced_since_the_last_look_is_found_by_the_request_that_misses_it(
    pods: dict[str, SandboxProcess], port: int, names: Names
) -> None:
    nobody = "127.0.0.5"
    names.addresses = [nobody]
    client = SandboxClient(f"http://{NAME}:{port}", pods[FIRST].key_file, resolve=names.resolve, interval=3600)
    try:
        with pytest.raises(SandboxUnreachableError):
            await client.touch([])
        names.addresses = [FIRST]
        assert (await where(client))[1] == FIRST
    finally:
        await client.close()


async def test_name_server_that_does_not_answer_takes_no_server_away(client: SandboxClient, names: Names) -> None:
    await until_only(client, FIRST)
    names.away = True
    await until_only(client, FIRST)


async def test_server_that_went_away_is_left_alone_until_it_answers_again(
    client: SandboxClient, names: Names, port: int, pods: dict[str, SandboxProcess], tmp_path: Path
) -> None:
    """Nobody listens at the third address at first. What nobody answers costs no request of anybody."""
    third = "127.0.0.4"
    names.addresses = [third]
    with pytest.raises(SandboxUnreachableError):
        await client.create_session(SessionRequest())
    assert client.count_servers(BreakerState.OPEN) == 1
    names.addresses = [third, FIRST]
    await until_only(client, FIRST)
    with run_sandbox(tmp_path, SANDBOX_HOST=third, SANDBOX_PORT=str(port)):
        async with asyncio.timeout(DEADLINE):
            while client.count_servers(BreakerState.CLOSED) < 2:
                await client.touch([])
                await asyncio.sleep(0.02)
        await until_only(client, third, FIRST)


async def test_certificate_of_a_server_found_by_name_must_be_for_the_name(tmp_path: Path) -> None:
    async def loopback(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    authority = trustme.CA()
    ours = mount(tmp_path / "ours", contents(None, authority))
    for name, said in [(NAME, "without the protocol's error body"), ("other.test", "Hostname mismatch")]:
        theirs = mount(tmp_path / name, contents(issue(authority, name)))
        async with serve(theirs) as server:
            url = f"https://{NAME}:{server.port}"
            tls = open_sandbox_tls(url, ours)
            assert tls is not None
            client = SandboxClient(url, tls=tls.following_context(), resolve=loopback)
            with pytest.raises(SandboxUnavailableError, match=said):
                await client.touch([])
            await client.close()


async def test_the_systems_resolver_finds_this_machine() -> None:
    assert "127.0.0.1" in await resolve_host("localhost", 80)
    assert await resolve_host("::1", 80) == ["::1"]
