"""The folder that a service's certificates come from: what it must hold, and what a broken update does to a server."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from runtime.tls import TlsFolder, TlsFolderError
from runtime.tls_files import Side
from tests.runtime.certificates import PAST, Authorities, client_context, contents, issue, mount
from tests.runtime.tls_server import ask_anew, presented, serve


@pytest.fixture
def authorities() -> Authorities:
    return Authorities()


@pytest.fixture
def mutual(authorities: Authorities, tmp_path: Path) -> Path:
    """A server's folder that asks for client certificates."""
    return mount(tmp_path / "tls", contents(issue(authorities.servers), authorities.clients))


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
