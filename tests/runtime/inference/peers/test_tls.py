"""Replicas that serve HTTPS and ask for certificates show each other the one that they serve with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import trustme
from aiohttp import hdrs, web
from aiohttp.test_utils import make_mocked_request

from runtime.inference.metrics import Metrics
from runtime.inference.peers.directory import Directory, open_directory
from runtime.inference.peers.peer_http import PeerHttp
from runtime.tls import TlsFolder
from runtime.tls_files import Side
from tests.runtime.certificates import contents, issue, mount
from tests.runtime.inference.service import build_lonely_settings

THEIRS, OWN = "11111111", "00000000"
ASKED = make_mocked_request("GET", "/", headers={hdrs.AUTHORIZATION: "Bearer key"})


@contextlib.asynccontextmanager
async def serving(directory: Directory) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for context in (directory.http.while_serving, directory.while_serving):
            await stack.enter_async_context(contextlib.asynccontextmanager(context)(web.Application()))
        yield


async def test_replica_with_the_same_authority_is_asked_and_a_stranger_is_out_of_reach(tmp_path: Path) -> None:
    authority = trustme.CA()
    folder = mount(tmp_path / "tls", contents(issue(authority), authority))

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"storage": THEIRS})

    app = web.Application()
    app.router.add_get("/rlm/v1/peer", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    tls = TlsFolder("TEST_TLS_DIR", folder, Side.SERVER).following_context()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        directory = open_directory(build_lonely_settings(peers_url=url, tls_dir=folder), OWN, Metrics())
        async with serving(directory), asyncio.timeout(60):
            assert await directory.owner(THEIRS, ASKED) is not None
        stranger = mount(tmp_path / "other", contents(issue(trustme.CA()), authority))
        other = TlsFolder("TEST_TLS_DIR", stranger, Side.CLIENT).following_context()
        directory = Directory(url, OWN, PeerHttp(Metrics(), other))
        async with serving(directory), asyncio.timeout(60):
            found = await directory.siblings(ASKED)
            assert (found.peers, found.missing) == ([], 1)
    finally:
        await runner.cleanup()
