"""Which of a pool's servers is asked, by what they say of themselves and by which session is where."""

from __future__ import annotations

import pytest

from runtime.inference.sandbox_servers import Server, Servers

URLS = "http://a:1,http://b:2,http://c:3"


def loaded(running: int, queued: int = 0, sessions: int = 1, capacity: int = 80) -> str:
    return f"running={running};queued={queued};sessions={sessions};capacity={capacity}"


def chosen(servers: Servers, *tried: Server) -> str | None:
    server = servers.choose(tried)
    return None if server is None else server.url


def test_addresses_are_split_at_commas_and_each_counts_once() -> None:
    servers = Servers(" http://a:1/ , http://b:2,http://a:1,")
    assert [server.url for server in servers.all] == ["http://a:1", "http://b:2"]


def test_the_server_with_the_fewest_cells_is_chosen_and_the_next_when_it_was_tried() -> None:
    servers = Servers(URLS)
    a, b, c = servers.all
    a.note_load(loaded(2))
    b.note_load(loaded(0, queued=1))
    c.note_load(loaded(5))
    assert chosen(servers) == b.url
    assert chosen(servers, b) == a.url
    assert chosen(servers, a, b, c) is None


def test_of_two_without_cells_the_emptier_one_is_chosen() -> None:
    servers = Servers("http://a:1,http://b:2")
    a, b = servers.all
    a.note_load(loaded(0, sessions=40))
    b.note_load(loaded(0, sessions=8, capacity=10))
    assert chosen(servers) == a.url


def test_own_requests_that_a_server_has_not_reported_yet_count() -> None:
    servers = Servers("http://a:1,http://b:2")
    a, b = servers.all
    b.note_load(loaded(1))
    with a.asked(), a.asked():
        assert chosen(servers) == b.url
    assert chosen(servers) == a.url


def test_a_server_that_failed_is_chosen_last() -> None:
    servers = Servers("http://a:1,http://b:2")
    a, b = servers.all
    b.note_load(loaded(7))
    a.avoid()
    assert chosen(servers) == b.url
    assert chosen(servers, b) == a.url
    b.breaker.failed()
    assert chosen(servers) == a.url
    assert chosen(servers, a) == b.url


def test_a_name_stands_for_its_addresses_and_what_is_known_of_them_stays() -> None:
    servers = Servers("http://pool:1,http://b:2")
    pool, b = servers.all
    assert servers.follow("http://pool:1", ["http://10.0.0.1:1", "http://10.0.0.2:1"])
    first, second, same = servers.all
    assert (same, pool in servers.all) == (b, False)
    assert (first.url, first.found_by) == ("http://10.0.0.1:1", "http://pool:1")
    servers.hold("session", first)
    assert not servers.follow("http://pool:1", ["http://10.0.0.2:1", "http://10.0.0.1:1"])
    assert servers.follow("http://pool:1", ["http://10.0.0.2:1"])
    assert servers.all == (second, b)
    assert servers.holding("session") is first
    assert servers.follow("http://pool:1", [])
    assert [server.url for server in servers.all] == ["http://pool:1", "http://b:2"]


@pytest.mark.parametrize("header", [None, "", "running=x;queued=0", "running=1", ";;=;", "running=1;queued"])
def test_a_load_that_is_absent_or_broken_says_nothing(header: str | None) -> None:
    servers = Servers("http://a:1,http://b:2")
    a, b = servers.all
    b.note_load(loaded(1))
    a.note_load(header)
    assert chosen(servers) == a.url


def test_a_session_is_at_its_server_until_it_is_forgotten() -> None:
    servers = Servers("http://a:1,http://b:2")
    _, b = servers.all
    servers.hold("session", b)
    assert servers.holding("session") is b
    servers.forget("session")
    servers.forget("session")
    assert servers.holding("session") is None


def test_only_a_one_shot_cell_is_forgotten_when_it_ends() -> None:
    servers = Servers("http://a:1,http://b:2")
    a, b = servers.all
    servers.hold("one-shot", a, one_shot=True)
    servers.hold("session", b)
    for session in ("one-shot", "session"):
        servers.forget_one_shot(session)
    assert servers.holding("one-shot") is None
    assert servers.holding("session") is b


def test_with_one_server_every_session_is_there() -> None:
    servers = Servers("http://a:1")
    assert servers.holding("made by somebody else") is servers.all[0]
