"""TLS of a service: who gets in, and certificates that change under open connections."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from runtime.tls import TlsFolder
from runtime.tls_files import Side
from tests.runtime.certificates import HOST, Authorities, client_context, contents, issue, mount
from tests.runtime.sandbox.eventually import DEADLINE, eventually
from tests.runtime.tls_server import ask, ask_anew, connect, presented, serve

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def authorities() -> Authorities:
    return Authorities()


@pytest.fixture
def mutual(authorities: Authorities, tmp_path: Path) -> Path:
    """A server's folder that asks for client certificates."""
    return mount(tmp_path / "tls", contents(issue(authorities.servers), authorities.clients))


async def test_without_an_authority_a_client_needs_no_certificate(authorities: Authorities, tmp_path: Path) -> None:
    folder = mount(tmp_path / "tls", contents(issue(authorities.servers)))
    async with serve(folder) as running:
        assert await ask_anew(running.url, client_context(authorities.servers))
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask_anew(running.url.replace("https", "http"), authorities.client())


@pytest.mark.parametrize("version", VERSIONS)
async def test_with_an_authority_a_certificate_of_it_opens_the_door_and_nothing_else_does(
    authorities: Authorities, mutual: Path, version: ssl.TLSVersion
) -> None:
    refused = {
        "none": client_context(authorities.servers),
        "foreign": authorities.client(authorities.others),
        "of the server's authority": authorities.client(authorities.servers),
        "expired": authorities.client(expired=True),
    }
    async with serve(mutual) as running:
        for context in (allowed := authorities.client(), *refused.values()):
            context.maximum_version = context.minimum_version = version
        assert await ask_anew(running.url, allowed)
        for context in refused.values():
            with pytest.raises(aiohttp.ClientConnectionError):
                await ask_anew(running.url, context)


async def test_refused_client_is_in_the_log_with_the_reason(
    authorities: Authorities, mutual: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serve(mutual) as running:
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask_anew(running.url, authorities.client(expired=True))
    (record,) = [record for record in caplog.records if record.message == "TLS handshake failed"]
    assert "certificate has expired" in record.__dict__["error"]


async def test_anything_older_than_tls_1_2_is_off(mutual: Path) -> None:
    assert TlsFolder("TEST_TLS_DIR", mutual, Side.SERVER).newest().minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_metrics_port_of_its_own_stays_plain_for_probes(authorities: Authorities, mutual: Path) -> None:
    async with serve(mutual, metrics_port=0) as running, aiohttp.ClientSession() as probe:
        for path in ("/healthz", "/readyz", "/metrics", "/version"):
            async with probe.get(f"http://{HOST}:{running.metrics_port}{path}") as response:
                assert response.status == 200
        assert await ask_anew(running.url, authorities.client())


async def test_on_the_apis_port_operations_need_a_client_certificate_too(
    authorities: Authorities, mutual: Path
) -> None:
    async with serve(mutual) as running:
        health = f"https://{HOST}:{running.metrics_port}/healthz"
        async with connect(authorities.client()) as http, http.get(health) as response:
            assert response.status == 200
        async with connect(client_context(authorities.servers)) as http:
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.get(health)


async def test_new_connections_see_a_rotated_certificate_and_open_ones_live_on(
    authorities: Authorities, mutual: Path
) -> None:
    client = authorities.client()
    async with serve(mutual) as running, connect(client) as http:
        port, before = await ask(http, running.url), await presented(running, client)
        rotated = issue(authorities.servers)
        mount(mutual, contents(rotated, authorities.clients))
        after = await presented(running, client)
        assert before != after == ssl.PEM_cert_to_DER_cert(rotated.cert_chain_pems[0].bytes().decode())
        assert await ask(http, running.url) == port


async def test_a_request_that_runs_while_everything_is_replaced_ends_as_if_nothing_had_happened(
    authorities: Authorities, mutual: Path
) -> None:
    entered, released = asyncio.Event(), asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        if not entered.is_set():
            entered.set()
            await released.wait()
        return web.Response(text="done")

    replacements = Authorities()
    async with serve(mutual, handler=handler) as running:
        asked = asyncio.create_task(ask_anew(running.url, authorities.client()))
        await entered.wait()
        mount(mutual, contents(issue(replacements.servers), replacements.clients))
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask_anew(running.url, authorities.client())
        released.set()
        assert await asked == "done"
        assert await ask_anew(running.url, replacements.client()) == "done"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_removed_authority_counts_for_its_clients_that_resume_a_session_too(
    authorities: Authorities, mutual: Path, version: ssl.TLSVersion
) -> None:
    """An abbreviated handshake would skip the certificates."""
    context = authorities.client()
    context.maximum_version = context.minimum_version = version
    async with serve(mutual) as running:
        session, _ = await asyncio.to_thread(request_bare, running.port, context, None)
        session, was_resumed = await asyncio.to_thread(request_bare, running.port, context, session)
        assert was_resumed
        mount(mutual, contents(issue(authorities.servers), authorities.others))
        with pytest.raises(OSError, match=r"(?i)reset|alert|EOF"):
            await asyncio.to_thread(request_bare, running.port, context, session)


def request_bare(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool]:
    """One request with the standard library's blocking sockets. Returns the TLS session, and whether it was resumed."""
    with (
        socket.create_connection((HOST, port), DEADLINE) as plain,
        context.wrap_socket(plain, server_hostname=HOST, session=session) as connection,
    ):
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        reply = b""
        while chunk := connection.recv(4096):
            reply += chunk
        if not reply.startswith(b"HTTP/1.1 200 "):
            raise ConnectionResetError(f"reset by the server: {reply!r}")
        return connection.session, bool(connection.session_reused)


@dataclass
class Traffic:
    """Requests without a pause until `stopped`; whatever fails is kept."""

    url: str
    stopped: bool = False
    answered: int = 0
    ports: set[str] = field(default_factory=set)

    async def on_new_connections(self, context: Callable[[], ssl.SSLContext]) -> None:
        while not self.stopped:
            self.ports.add(await ask_anew(self.url, context()))
            self.answered += 1

    async def on_one_connection(self, context: ssl.SSLContext) -> None:
        async with connect(context) as http:
            ports = set()
            while not self.stopped:
                ports.add(await ask(http, self.url))
                self.answered += 1
        assert len(ports) == 1, "the connection was not kept"

    async def more(self, count: int) -> None:
        """Return after `count` further answers."""
        goal = self.answered + count
        await eventually(lambda: self.answered >= goal)


async def test_no_request_fails_while_all_certificates_and_authorities_are_rotated_under_traffic(
    authorities: Authorities, mutual: Path, tmp_path: Path
) -> None:
    """As an operator does it: both authorities are trusted first, then certificates change, then the old one goes."""
    ours = mount(tmp_path / "client", contents(issue(authorities.clients, "client"), authorities.servers))
    following = TlsFolder("CLIENT_TLS_DIR", ours, Side.CLIENT).following_context()
    first, old = authorities, authorities
    async with serve(mutual) as running:
        traffic = Traffic(running.url)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(traffic.on_new_connections(lambda: following))
                tasks.create_task(traffic.on_one_connection(following))
            for _ in range(6):
                new = Authorities()
                for server, client, servers, clients in [
                    (old, old, (old.servers, new.servers), (old.clients, new.clients)),
                    (new, new, (old.servers, new.servers), (old.clients, new.clients)),
                    (new, new, (new.servers,), (new.clients,)),
                ]:
                    mount(mutual, contents(issue(server.servers), *clients))
                    mount(ours, contents(issue(client.clients, "client"), *servers))
                    await traffic.more(20)
                old = new
            traffic.stopped = True
        assert len(traffic.ports) >= 6 * 3
        assert await ask_anew(running.url, old.client())
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask_anew(running.url, client_context(old.servers, issue(first.clients, "client")))


async def test_beyond_the_most_connections_the_oldest_idle_one_is_closed_and_a_new_one_is_served(
    authorities: Authorities, mutual: Path
) -> None:
    client = authorities.client()
    async with serve(mutual, max_connections=2) as running:
        idle = [await asyncio.open_connection(HOST, running.port, ssl=client) for _ in range(2)]
        assert await ask_anew(running.url, client)
        async with asyncio.timeout(DEADLINE):
            assert await idle[0][0].read() == b""
        for _, writer in idle:
            writer.close()


async def test_a_client_refuses_a_server_of_another_authority_or_name_also_after_a_rotation(
    authorities: Authorities, tmp_path: Path
) -> None:
    folder = mount(tmp_path / "tls", contents(issue(authorities.servers)))
    ours = mount(tmp_path / "client", contents(None, authorities.servers))
    client = TlsFolder("CLIENT_TLS_DIR", ours, Side.CLIENT).following_context()
    async with serve(folder) as running:
        assert await ask_anew(running.url, client)
        for wrong in (issue(authorities.servers, "elsewhere.test"), issue(authorities.others)):
            mount(folder, contents(wrong))
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await ask_anew(running.url, client)
        mount(ours, contents(None, authorities.others))
        assert await ask_anew(running.url, client)
