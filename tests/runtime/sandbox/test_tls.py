"""The service over mutual TLS: sessions outlive the certificates of those who use them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runtime.wire import Status
from tests.runtime.certificates import client_context, contents, issue, mount
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import descendants, found_in_memory
from tests.runtime.sandbox.server import SandboxServer, run_server


@dataclass
class Secured:
    """A server, and the folder of its certificates."""

    server: SandboxServer
    folder: Path
    authority: trustme.CA

    def connect(self) -> contextlib.AbstractAsyncContextManager[SandboxClient]:
        """With a certificate of today's authority."""
        return connect(self.server, tls=client_context(self.authority, issue(self.authority, "client")))

    def rotate(self) -> None:
        """Certificate, key and authority: nothing of the old ones counts any more."""
        self.authority = trustme.CA()
        mount(self.folder, contents(issue(self.authority), self.authority))


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    authority = trustme.CA()
    folder = mount(tmp_path / "tls", contents(issue(authority), authority))
    with run_server(tls_dir=folder, metrics_port=0) as server:
        yield Secured(server, folder, authority)


async def test_a_cell_that_runs_and_one_that_waits_live_through_a_rotation_of_everything(secured: Secured) -> None:
    async with secured.connect() as old:
        running, waiting = new_id("running"), (await old.create(host_functions=["ask"])).session_id
        await old.execute("x = 1", running)
        call = (await old.execute("answer = ask()", waiting)).call
        assert call is not None
        cell = asyncio.create_task(old.execute("import time; time.sleep(2); x + 1", running))
        async with secured.connect() as observer:

            async def runs() -> bool:
                return (await observer.describe(running)).state == "running"

            await eventually(runs)
        secured.rotate()
        async with secured.connect() as new:
            assert not cell.done()
            assert (await new.resume(waiting, call.id, result="late")).status is Status.OK
            assert (await cell).result == "2"
            assert (await new.execute("x", running)).result == "1"
            assert (await old.execute("answer", waiting)).result == "'late'"
            mount(secured.folder, {"tls.crt": b"broken"})
            assert (await new.execute("x", running)).result == "1"
    (rotated,) = [line for line in secured.server.log_lines() if line["message"] == "certificates loaded"][1:]
    assert rotated["variable"] == "SANDBOX_TLS_DIR"


async def test_a_client_without_a_certificate_reaches_nothing_but_the_metrics_port(secured: Secured) -> None:
    async with connect(secured.server, tls=client_context(secured.authority)) as stranger:
        for path in ("/healthz", "/openapi.json", "/sessions/x"):
            with pytest.raises(aiohttp.ClientConnectionError):
                await stranger.request("GET", path)
        expiry = (await stranger.metrics())["tls_certificate_expiration_timestamp_seconds", "server"]
        assert expiry > 0


async def test_a_client_that_goes_away_ends_its_cell(secured: Secured) -> None:
    session = new_id()
    async with secured.connect() as client:
        await client.execute("x = 1", session)
        async with secured.connect() as other:
            cell = asyncio.create_task(other.execute("while True: pass", session))

            async def state() -> str:
                return (await client.describe(session)).state

            async def runs() -> bool:
                return await state() == "running"

            async def rests() -> bool:
                return await state() == "idle"

            await eventually(runs)
            cell.cancel()
            await eventually(rests)
        assert (await client.execute("x", session)).result == "1"


async def test_twenty_megabytes_go_in_and_out(secured: Secured) -> None:
    data = b"0123456789abcdef" * (20 << 16)
    async with secured.connect() as client:
        session = (await client.create()).session_id
        await client.put(session, "v", data)
        assert (await client.get(session, "v")).body == data


async def test_no_process_that_holds_guest_code_has_the_private_key(secured: Secured) -> None:
    key = serialization.load_pem_private_key((secured.folder / "tls.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    needle = key.private_numbers().private_value.to_bytes(32, "little")  # as OpenSSL keeps it
    async with secured.connect() as client:
        await client.execute("x = 1", new_id())
        assert found_in_memory(secured.server.pid, {needle}), "the search must be able to find what is there"
        for pid in descendants(secured.server.pid):
            assert not found_in_memory(pid, {needle})


async def test_sigterm_ends_it_with_status_0_while_connections_are_open(secured: Secured) -> None:
    async with secured.connect() as client:
        await client.execute("1")
        secured.server.process.terminate()
        assert await secured.server.ended() == 0
