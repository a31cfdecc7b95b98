"""Authorities and certificates over their lives: who signs when, what is trusted, and when something is replaced."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from rlm_operator.resource import Identity, Kind
from rlm_operator.trust.authority import Authorities, Lifetimes, is_superseded, next_authorities
from rlm_operator.trust.leaf import Subject, is_current, issue_leaf, pool_subject, read_leaf, stack_subject, trusts
from rlm_operator.trust.pair import Pair, due_at
from tests.operator.specs import build_pool

START = datetime(2030, 1, 1, tzinfo=UTC)
LIVES = Lifetimes(authority=timedelta(days=90), certificate=timedelta(days=9), settle=timedelta(minutes=10))
SERVER = pool_subject(build_pool("shared", service={"name": "wasm-repl-service"}))
CLIENT = stack_subject(Identity(Kind.STACK, "team", "demo"))


def after(**time: float) -> datetime:
    return START + timedelta(**time)


def begin(found: Authorities | None = None, now: datetime = START) -> Authorities:
    return next_authorities(found, "shared-wasm", "team", LIVES, now)


def rotated() -> Authorities:
    """In the middle of a rotation that began after 70 days."""
    found = begin(begin(), after(days=70))
    assert found.previous is not None
    return found


def read(entries: dict[str, bytes | None]) -> dict[str, bytes]:
    return {name: value for name, value in entries.items() if value is not None}


def accepts(authorities: Authorities, leaf: Pair, host: str, now: datetime) -> bool:
    """Whether a client that trusts the bundle takes this certificate for a server at `host`."""
    trusted = x509.load_pem_x509_certificates(authorities.bundle())
    verifier = PolicyBuilder().store(Store(trusted)).time(now).build_server_verifier(x509.DNSName(host))
    try:
        verifier.verify(leaf.certificate, [])
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [
        "wasm-repl-service",
        "shared-wasm",
        "shared-wasm.team",
        "shared-wasm-pods.team.svc",
        "shared-wasm-pods.team.svc.cluster.local",
    ],
)
def test_a_server_is_accepted_under_every_name_of_its_services_and_no_other(host: str) -> None:
    authorities = begin()
    leaf = issue_leaf(SERVER, authorities.newest, LIVES.certificate, START)
    assert accepts(authorities, leaf, host, START)
    assert not accepts(authorities, leaf, "other-wasm.team.svc", START)
    assert not accepts(begin(), leaf, host, START)


def test_a_client_certificate_is_none_of_a_server() -> None:
    authorities = begin()
    leaf = issue_leaf(CLIENT, authorities.newest, LIVES.certificate, START)
    usage = leaf.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not accepts(authorities, leaf, "shared-wasm", START)


def test_a_peer_whose_clock_is_five_minutes_behind_accepts_a_new_certificate() -> None:
    authorities = begin()
    leaf = issue_leaf(SERVER, authorities.newest, LIVES.certificate, START)
    assert accepts(authorities, leaf, "shared-wasm", after(minutes=-5))
    assert not accepts(authorities, leaf, "shared-wasm", after(minutes=-6))


def test_a_certificate_is_renewed_within_the_last_part_of_its_life_and_not_all_at_once() -> None:
    signer = begin().newest
    leaves = [issue_leaf(SERVER, signer, LIVES.certificate, START) for _ in range(20)]
    due = [(due_at(leaf.certificate) - START) / LIVES.certificate for leaf in leaves]
    assert all(0.6 <= part <= 2 / 3 for part in due)
    assert len(set(due)) > 10
    for leaf in leaves:
        assert is_current(leaf, SERVER, signer, due_at(leaf.certificate) - timedelta(seconds=1))
        assert not is_current(leaf, SERVER, signer, due_at(leaf.certificate))


def test_a_certificate_of_another_subject_or_signer_is_replaced() -> None:
    signer = begin().newest
    leaf = issue_leaf(SERVER, signer, LIVES.certificate, START)
    assert is_current(leaf, SERVER, signer, START)
    assert not is_current(leaf, CLIENT, signer, START)
    assert not is_current(leaf, Subject(SERVER.organisation, SERVER.name, ("else",)), signer, START)
    assert not is_current(leaf, SERVER, begin().newest, START)


def test_no_certificate_outlives_its_authority() -> None:
    signer = begin().newest
    leaf = issue_leaf(SERVER, signer, LIVES.certificate, after(days=88))
    assert leaf.certificate.not_valid_after_utc == signer.certificate.not_valid_after_utc


def test_an_authority_stays_until_it_is_due() -> None:
    found = begin()
    assert begin(found, after(days=53)) == found
    assert begin(found, after(days=61)) != found


def test_a_new_authority_is_trusted_before_it_signs() -> None:
    found = rotated()
    old, moment = found.previous, after(days=70)
    assert len(x509.load_pem_x509_certificates(found.bundle())) == 2
    assert found.signer(moment, LIVES.settle, is_distributed=True) == old
    late = moment + LIVES.settle
    assert found.signer(late - timedelta(seconds=1), LIVES.settle, is_distributed=True) == old
    assert found.signer(late, LIVES.settle, is_distributed=False) == old
    assert found.signer(late, LIVES.settle, is_distributed=True) == found.newest
    assert found.signer(after(days=91), LIVES.settle, is_distributed=False) == found.newest


def test_the_old_authority_goes_when_pods_have_seen_that_nothing_is_left_of_it() -> None:
    found = rotated()
    assert found.previous is not None
    switched = after(days=70, minutes=10)
    old = issue_leaf(SERVER, found.previous, LIVES.certificate, after(days=69)).certificate
    new = issue_leaf(SERVER, found.newest, LIVES.certificate, switched).certificate
    later = switched + LIVES.settle
    assert not is_superseded(found, [new, old], LIVES.settle, later)
    assert not is_superseded(found, [new], LIVES.settle, later - timedelta(seconds=1))
    assert is_superseded(found, [new], LIVES.settle, later)
    assert begin(found, after(days=91)) == Authorities(found.newest)
    assert not is_superseded(Authorities(found.newest), [new], LIVES.settle, later)


def test_an_authority_that_ended_while_nobody_looked_is_replaced_at_once() -> None:
    found = begin(begin(), after(days=100))
    assert found.previous is None
    assert found.signer(after(days=100), LIVES.settle, is_distributed=False) == found.newest


def test_what_is_written_into_a_secret_reads_back() -> None:
    for found in (begin(), rotated()):
        assert Authorities.read(read(found.entries())) == found
    assert begin().entries()["previous.key"] is None
    leaf = issue_leaf(SERVER, rotated().newest, LIVES.certificate, START)
    assert read_leaf(read(leaf.entries("tls.crt", "tls.key"))) == leaf


@pytest.mark.parametrize("broken", [{}, {"tls.crt": b"nonsense", "tls.key": b"nonsense"}])
def test_a_broken_secret_counts_as_none(broken: dict[str, bytes]) -> None:
    assert Authorities.read(broken) is None
    assert read_leaf(broken) is None


def test_a_key_of_another_certificate_counts_as_none() -> None:
    entries = read(begin().entries())
    assert Authorities.read({**entries, "tls.key": read(begin().entries())["tls.key"]}) is None


def test_a_bundle_trusts_the_authorities_in_it() -> None:
    found = rotated()
    assert found.previous is not None
    assert trusts({"ca.crt": found.bundle()}, found.newest)
    assert not trusts({"ca.crt": found.previous.certificate_pem()}, found.newest)


def test_no_private_key_is_in_what_a_log_would_print() -> None:
    found = rotated()
    key = found.newest.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert base64.b64encode(key).decode() not in repr(found)
    assert "key" not in repr(found)
