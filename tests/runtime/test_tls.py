"""TLS of a service: who gets in, and certificates that change under open connections."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from runtime.tls import TlsFolder, TlsFolderError
from runtime.tls_files import Side
from tests.runtime.certificates import HOST, PAST, client_context, contents, issue, mount
from tests.runtime.sandbox.eventually import DEADLINE, eventually
from tests.runtime.tls_server import ask, ask_anew, connect, presented, serve

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@dataclass(frozen=True)
class Authorities:
    servers: trustme.CA = field(default_factory=trustme.CA)
    clients: trustme.CA = field(default_factory=trustme.CA)
    others: trustme.CA = field(default_factory=trustme.CA)

    def client(self, authority: trustme.CA | None = None, *, expired: bool = False) -> ssl.SSLContext:
        """A client whose certificate `authority` issued (default: the one for clients)."""
        return client_context(self.servers, issue(authority or self.clients, "client", expired=expired))


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


def without_key(files: dict[str, bytes]) -> None:
    del files["tls.key"]


def without_authority(files: dict[str, bytes]) -> None:
    del files["ca.crt"]


def with_half_a_certificate(files: dict[str, bytes]) -> None:
    files["tls.crt"] = files["tls.crt"][: len(files["tls.crt"]) // 2]


def with_an_empty_authority(files: dict[str, bytes]) -> None:
    files["ca.crt"] = b""


def with_a_broken_authority(files: dict[str, bytes]) -> None:
    files["ca.crt"] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def with_another_key(files: dict[str, bytes]) -> None:
    files["tls.key"] = contents(issue(trustme.CA()))["tls.key"]


def with_no_key_in_the_key(files: dict[str, bytes]) -> None:
    files["tls.key"] = b"nothing"


Damage = Callable[[dict[str, bytes]], None]
DAMAGES: list[tuple[Damage, str]] = [
    (without_key, "tls.key is missing"),
    (with_half_a_certificate, "tls.crt holds no certificate"),
    (with_an_empty_authority, "ca.crt holds no certificate"),
    (with_a_broken_authority, "ca.crt holds no certificate"),
    (with_another_key, "not a pair"),
    (with_no_key_in_the_key, "not a pair"),
]


@pytest.mark.parametrize(("damage", "said"), [*DAMAGES, (without_authority, "ca.crt is gone")])
async def test_a_broken_update_keeps_the_old_certificates_warns_once_and_a_good_one_is_taken_again(
    authorities: Authorities, mutual: Path, caplog: pytest.LogCaptureFixture, damage: Damage, said: str
) -> None:
    client = authorities.client()
    broken = contents(issue(authorities.servers), authorities.clients)
    damage(broken)
    async with serve(mutual) as running:
        before = await presented(running, client)
        caplog.clear()
        mount(mutual, broken)
        for _ in range(3):
            assert await presented(running, client) == before
        (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert said in warning.__dict__["error"]
        assert (warning.__dict__["variable"], warning.__dict__["folder"]) == ("TEST_TLS_DIR", str(mutual))
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask_anew(running.url, client_context(authorities.servers))
        mount(mutual, contents(issue(authorities.servers), authorities.clients))
        assert await presented(running, client) != before


async def test_files_written_one_after_the_other_in_place_are_taken_when_they_fit(
    authorities: Authorities, tmp_path: Path
) -> None:
    client, folder = client_context(authorities.servers), tmp_path / "tls"
    folder.mkdir()
    for name, content in contents(issue(authorities.servers)).items():
        (folder / name).write_bytes(content)
    async with serve(folder) as running:
        before = await presented(running, client)
        files = contents(issue(authorities.servers))
        (folder / "tls.crt").write_bytes(files["tls.crt"])
        assert await presented(running, client) == before
        (folder / "tls.key").write_bytes(files["tls.key"])
        assert await presented(running, client) != before


@pytest.mark.parametrize(("damage", "said"), DAMAGES)
def test_a_folder_that_cannot_be_used_at_the_start_is_an_error_that_names_variable_folder_and_file(
    authorities: Authorities, tmp_path: Path, damage: Damage, said: str
) -> None:
    files = contents(issue(authorities.servers), authorities.clients)
    damage(files)
    folder = mount(tmp_path / "tls", files)
    with pytest.raises(TlsFolderError, match=said) as error:
        TlsFolder("TEST_TLS_DIR", folder, Side.SERVER)
    assert str(error.value).startswith(f"TEST_TLS_DIR: {folder}: ")


@pytest.mark.parametrize(
    ("names", "side", "said"),
    [
        ([], Side.SERVER, "tls.crt is missing"),
        (["ca.crt"], Side.SERVER, "tls.crt is missing"),
        ([], Side.CLIENT, "neither ca.crt nor tls.crt"),
        (["ca.crt", "tls.crt"], Side.CLIENT, "tls.key is missing"),
        (["tls.key"], Side.CLIENT, "tls.crt is missing"),
    ],
)
def test_which_files_each_side_needs(
    authorities: Authorities, tmp_path: Path, names: list[str], side: Side, said: str
) -> None:
    files = contents(issue(authorities.servers), authorities.clients)
    folder = mount(tmp_path / "tls", {name: files[name] for name in names})
    with pytest.raises(TlsFolderError, match=said):
        TlsFolder("TEST_TLS_DIR", folder, side)


def test_an_encrypted_key_is_an_error_and_not_a_question_at_the_terminal(
    authorities: Authorities, tmp_path: Path
) -> None:
    pair = issue(authorities.servers)
    key = serialization.load_pem_private_key(pair.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    folder = mount(tmp_path / "tls", {**contents(pair), "tls.key": encrypted})
    with pytest.raises(TlsFolderError, match=r"tls\.key is encrypted"):
        TlsFolder("TEST_TLS_DIR", folder, Side.SERVER)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TlsFolderError, match=r"absent: tls\.crt is missing"):
        TlsFolder("TEST_TLS_DIR", tmp_path / "absent", Side.SERVER)


def test_the_end_of_a_certificate_is_known_follows_a_rotation_and_is_none_for_a_client_without_one(
    authorities: Authorities, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = mount(tmp_path / "tls", contents(issue(authorities.servers, expired=True), authorities.clients))
    tls = TlsFolder("TEST_TLS_DIR", folder, Side.SERVER)
    assert tls.expires() == int(PAST.timestamp())
    assert "the certificate has expired" in caplog.messages
    mount(folder, contents(issue(authorities.servers), authorities.clients))
    assert tls.expires() > PAST.timestamp() + 86400
    trusting = mount(tmp_path / "client", contents(None, authorities.servers))
    assert math.isnan(TlsFolder("TEST_TLS_DIR", trusting, Side.CLIENT).expires())


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
