"""Keys in a folder: who is known, rotation without a restart, and what is no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.keyring import KeyFolderError, KeyRing


def ring(folder: Path, **keys: str) -> KeyRing:
    for name, key in keys.items():
        (folder / name).write_text(key)
    return KeyRing(folder)


def test_each_key_is_known_by_its_files_name(tmp_path: Path) -> None:
    keys = ring(tmp_path, alice="key-a", bob="key-b\n")
    assert keys.identify("Bearer key-a") == "alice"
    assert keys.identify("bearer  key-b ") == "bob"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer key",
        "Bearer key-aa",
        "Basic key-a",
        "key-a",
        "Bearer KEY-A",
        "Bearer \udcff",
    ],
)
def test_anything_else_is_nobody(tmp_path: Path, header: str | None) -> None:
    assert ring(tmp_path, alice="key-a").identify(header) is None


def test_a_key_that_is_not_ascii_works_as_a_header_carries_it(tmp_path: Path) -> None:
    keys = ring(tmp_path, alice="schlüssel")
    header = b"Bearer schl\xc3\xbcssel".decode("utf-8", "surrogateescape")
    assert keys.identify(header) == "alice"


def test_a_key_is_replaced_added_and_removed_without_a_restart(tmp_path: Path) -> None:
    keys = ring(tmp_path, alice="old")
    assert keys.identify("Bearer old") == "alice"
    replacement = tmp_path.parent / "replacement"
    replacement.write_text("new")
    replacement.replace(tmp_path / "alice")
    (tmp_path / "bob").write_text("second")
    assert keys.identify("Bearer old") is None
    assert keys.identify("Bearer new") == "alice"
    assert keys.identify("Bearer second") == "bob"
    (tmp_path / "bob").unlink()
    assert keys.identify("Bearer second") is None


def test_a_secret_volume_is_read_through_its_links_and_rotates_at_once(tmp_path: Path) -> None:
    for number, key in enumerate(("first", "second")):
        (tmp_path / f"..data-{number}").mkdir()
        (tmp_path / f"..data-{number}" / "api-key").write_text(key)
    (tmp_path / "..data").symlink_to("..data-0")
    (tmp_path / "api-key").symlink_to("..data/api-key")
    keys = KeyRing(tmp_path)
    assert keys.identify("Bearer first") == "api-key"
    (tmp_path / "..next").symlink_to("..data-1")
    (tmp_path / "..next").rename(tmp_path / "..data")
    assert keys.identify("Bearer second") == "api-key"
    assert keys.identify("Bearer first") is None


def test_dotfiles_folders_and_empty_files_are_no_keys(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    keys = ring(tmp_path, **{".hidden": "hidden", "empty": " \n"})
    assert keys.identify("Bearer hidden") is None
    with pytest.raises(KeyFolderError, match=str(tmp_path)):
        keys.require_keys()


def test_an_absent_folder_holds_no_key(tmp_path: Path) -> None:
    keys = KeyRing(tmp_path / "absent")
    assert keys.identify("Bearer x") is None
    with pytest.raises(KeyFolderError):
        keys.require_keys()


def test_a_folder_that_cannot_be_read_for_a_moment_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    keys = ring(tmp_path, alice="key-a")
    assert keys.identify("Bearer key-a") == "alice"
    (tmp_path / "broken").write_bytes(b"\xff\xfe")
    assert keys.identify("Bearer key-a") == "alice"


def test_no_plain_key_is_kept(tmp_path: Path) -> None:
    keys = ring(tmp_path, alice="a-very-recognisable-key")
    keys.identify("Bearer a-very-recognisable-key")
    assert "a-very-recognisable-key" not in repr(vars(keys))
