"""Texts of files between questions: what is kept, what makes room."""

from __future__ import annotations

from runtime.inference.text_cache import TextCache


def test_texts_used_longest_ago_make_room() -> None:
    cache = TextCache(10)
    cache.keep("a", "aaaa")
    cache.keep("b", "bbbb")
    assert cache.get("a") == "aaaa"
    cache.keep("c", "cccc")
    assert [cache.get(name) for name in "abc"] == ["aaaa", None, "cccc"]


def test_text_larger_than_all_room_is_not_kept_and_drives_nothing_out() -> None:
    cache = TextCache(10)
    cache.keep("a", "aaaa")
    cache.keep("b", "b" * 11)
    assert [cache.get(name) for name in "ab"] == ["aaaa", None]


def test_dropped_text_gives_its_room_back() -> None:
    cache = TextCache(10)
    for _ in range(5):
        cache.keep("a", "a" * 9)
        cache.drop("a")
    cache.drop("a")
    cache.keep("b", "b" * 10)
    assert [cache.get(name) for name in "ab"] == [None, "b" * 10]
