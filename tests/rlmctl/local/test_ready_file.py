from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rlmctl.errors import InputError
from rlmctl.local.ready_file import (
    ReadyInfo,
    claim_ready_file,
    default_ready_path,
    read_ready_file,
    write_ready_file,
)

INFO = ReadyInfo(
    endpoint="http://127.0.0.1:1",
    api_key="k",
    sandbox_url="http://127.0.0.1:2",
    sandbox_key="s",
    model_url="http://127.0.0.1:3/v1",
    pids={"rlmctl": 1},
)


def test_written_file_is_private_read_back_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dev.json"
    with claim_ready_file(path):
        write_ready_file(path, INFO)
        write_ready_file(path, INFO)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_ready_file(path) == INFO
    assert list(path.parent.iterdir()) == []


def test_second_claim_of_the_same_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    with claim_ready_file(path):
        with pytest.raises(InputError, match="another rlmctl dev"), claim_ready_file(path):
            pass
        with claim_ready_file(tmp_path / "other.json"):
            pass
    with claim_ready_file(path):
        pass


def test_absent_file_is_none_and_another_file_is_refused(tmp_path: Path) -> None:
    assert read_ready_file(tmp_path / "absent.json") is None
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="not a ready file"):
        read_ready_file(tmp_path / "other.json")


def test_default_place_is_the_runtime_folder_else_the_cache() -> None:
    assert default_ready_path({"XDG_RUNTIME_DIR": "/run/me"}) == Path("/run/me/rlmctl/dev.json")
    assert default_ready_path({"XDG_CACHE_HOME": "/c"}) == Path("/c/rlmctl/dev.json")
    assert default_ready_path({}) == Path.home() / ".cache/rlmctl/dev.json"
