"""Replicas behind one name, as a headless Service is: who comes is asked, who goes is not, strangers own nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import hdrs, web
from aiohttp.test_utils import make_mocked_request

from runtime.inference.errors import OwnerUnreachableError
from runtime.inference.metrics import Metrics
from runtime.inference.peers.directory import Directory
from runtime.inference.peers.peer_http import PeerHttp

NAME = "stack-rlm-pods.test"
OWN, FIRST, SECOND, NOBODYS = "00000000", "11111111", "22222222", "33333333"
ASKED = make_mocked_request("GET", "/", headers={hdrs.AUTHORIZATION: "Bearer key"})


@dataclass
class Pods:
    """A pod for each storage, all on one port, and a name server that knows them."""

    storages: dict[str, str]  # by address
    published: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # addresses, each time that one was asked who it is
    hosts: set[str] = field(default_factory=set)
    port: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        address = request.transport.get_extra_info("sockname")[0]
        self.asked.append(address)
        self.hosts.add(request.host)
        assert request.headers[hdrs.AUTHORIZATION] == "Bearer key"
        return web.json_response({"storage": self.storages[address]})

    async def resolve(self, host: str, port: int) -> list[str]:
        assert (host, port) == (NAME, self.port)
        if not self.published:
            raise socket.gaierror(socket.EAI_NONAME, "no addresses")
        return self.published


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    known = Pods({"127.0.0.1": OWN, "127.0.0.2": FIRST, "127.0.0.3": SECOND}, ["127.0.0.1", "127.0.0.2"])
    app = web.Application()
    app.router.add_get("/rlm/v1/peer", known.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for address in known.storages:
        await web.TCPSite(runner, address, known.port).start()
        known.port = runner.addresses[0][1]
    yield known
    await runner.cleanup()


@pytest.fixture
async def directory(pods: Pods) -> AsyncIterator[Directory]:
    http = PeerHttp(Metrics(), None)
    opened = Directory(f"http://{NAME}:{pods.port}", OWN, http, pods.resolve, interval=0.0)
    async with contextlib.AsyncExitStack() as stack:
        for serving in (http.while_serving, opened.while_serving):
            await stack.enter_async_context(contextlib.asynccontextmanager(serving)(web.Application()))
        yield opened


async def test_owner_is_found_by_its_token_and_asked_by_the_name(pods: Pods, directory: Directory) -> None:
    owner = await directory.owner(FIRST, ASKED)
    assert owner is not None
    assert owner.url == f"http://127.0.0.2:{pods.port}"
    assert await directory.owner(FIRST, ASKED) is owner
    assert sorted(pods.asked) == ["127.0.0.1", "127.0.0.2"]  # once each
    assert pods.hosts == {f"{NAME}:{pods.port}"}
    assert directory.count() == 1  # not itself


async def test_pod_that_comes_is_found_and_one_that_leaves_the_name_is_not(pods: Pods, directory: Directory) -> None:
    assert await directory.owner(SECOND, ASKED) is None
    pods.published = ["127.0.0.2", "127.0.0.3"]
    assert await directory.owner(SECOND, ASKED) is not None
    assert [peer.storage for peer in (await directory.siblings(ASKED)).peers] == [FIRST, SECOND]
    pods.published = []
    assert (await directory.siblings(ASKED)).peers == []
    assert await directory.owner(SECOND, ASKED) is None


async def test_process_that_was_started_anew_is_not_the_owner_of_what_it_lost(pods: Pods, directory: Directory) -> None:
    assert await directory.owner(FIRST, ASKED) is not None
    pods.storages["127.0.0.2"] = NOBODYS
    assert await directory.owner(NOBODYS, ASKED) is not None  # asked again
    assert await directory.owner(FIRST, ASKED) is None


async def test_address_where_nothing_listens_has_nothing_and_one_that_says_nonsense_may_have_it(
    pods: Pods, directory: Directory
) -> None:
    pods.published = ["127.0.0.1", "127.0.0.4"]
    assert await directory.owner(SECOND, ASKED) is None
    assert (await directory.siblings(ASKED)).missing == 0
    pods.published = ["127.0.0.1", "127.0.0.3"]
    pods.storages["127.0.0.3"] = None  # type: ignore[assignment]  # no identity
    with pytest.raises(OwnerUnreachableError):
        await directory.owner(SECOND, ASKED)
    assert (await directory.siblings(ASKED)).missing == 1
