"""The ready file of a running `rlmctl dev`: where its endpoint is and with which key.

Written with mode 0600 once the stack answers, removed at its end. `rlmctl ask` reads the one at the default place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from rlmctl.errors import InputError


class ReadyInfo(BaseModel):
    """`endpoint` and `sandbox_url` are bare (the OpenAI SDK wants `endpoint` + "/v1"); keys are None without
    authentication; `pids` by process name, `rlmctl` included."""

    endpoint: str
    api_key: str | None
    sandbox_url: str
    sandbox_key: str | None
    model_url: str
    pids: dict[str, int]


def default_ready_path(environment: Mapping[str, str]) -> Path:
    """In the user's runtime folder when the system has one, else in their cache."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "rlmctl" / "dev.json"
    cache = environment.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "rlmctl" / "dev.json"


def read_ready_file(path: Path) -> ReadyInfo | None:
    """None when there is none. Raises InputError for a file that is not one."""
    try:
        return ReadyInfo.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} is not a ready file of rlmctl dev: remove it, or pass --endpoint") from error


def write_ready_file(path: Path, info: ReadyInfo) -> None:
    """Replaced as a whole, so that nobody reads half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(info.model_dump_json(indent=2) + "\n")
    draft.replace(path)


@contextlib.contextmanager
def claim_ready_file(path: Path) -> Iterator[None]:
    """Hold the place of the file against another `rlmctl dev`; the file is removed at the end.

    The claim is a lock beside it, which ends with the process however that ends. Raises InputError when it is taken.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("w", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"another rlmctl dev is running with {path}: stop it, or pass --ready-file PATH"
            ) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
