from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rlmctl.errors import InputError
from rlmctl.local.secret_store import SecretStore

SECRET = {
    "kind": "Secret",
    "metadata": {"name": "keys"},
    "data": {"one": "c2VjcmV0LTE="},
    "stringData": {"two": "secret-2"},
}


def test_whole_secret_becomes_a_private_folder_of_private_files(tmp_path: Path) -> None:
    SecretStore([SECRET]).write_volume(tmp_path / "keys", {"secretName": "keys"})
    assert {file.name: file.read_text() for file in (tmp_path / "keys").iterdir()} == {
        "one": "secret-1",
        "two": "secret-2",
    }
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "keys").iterdir()} == {0o600}


def test_chosen_entry_gets_the_name_that_the_volume_says(tmp_path: Path) -> None:
    source = {"secretName": "keys", "items": [{"key": "two", "path": "api-key"}]}
    SecretStore([SECRET]).write_volume(tmp_path / "keys", source)
    assert [(file.name, file.read_text()) for file in (tmp_path / "keys").iterdir()] == [("api-key", "secret-2")]


@pytest.mark.parametrize(
    "source", [{"secretName": "absent"}, {"secretName": "keys", "items": [{"key": "three", "path": "api-key"}]}]
)
def test_missing_secret_or_entry_says_where_to_add_it(tmp_path: Path, source: dict[str, object]) -> None:
    with pytest.raises(InputError, match="stringData"):
        SecretStore([SECRET]).write_volume(tmp_path / "keys", source)


def test_data_that_is_not_base64_is_refused_with_the_entry_s_name() -> None:
    with pytest.raises(InputError, match=r"Secret keys, data\.x is not base64"):
        SecretStore([{"kind": "Secret", "metadata": {"name": "keys"}, "data": {"x": "?"}}])


def test_generated_keys_differ_and_never_replace_those_of_the_file() -> None:
    store = SecretStore([SECRET])
    for name in ("keys", "a", "b"):
        store.generate(name)
    assert store.first_key("keys") == "secret-1"
    assert len(store.first_key("a")) >= 40
    assert store.first_key("a") != store.first_key("b")
