"""An S3 server of its own for the storage tests: moto's, a process that speaks the protocol over HTTP.

Its packages (boto among them) do not agree with the service's, so it lives in a virtual environment beside them, built
once from `requirements/s3-server.lock` into the cache (`$XDG_CACHE_HOME/rlm-operator/s3-server-…`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOCK: Final = Path(__file__).parents[3] / "requirements" / "s3-server.lock"
BUCKET: Final = "runs"


@dataclass(frozen=True)
class S3Server:
    url: str
    config_dir: Path  # the store's options, as a Secret is mounted


@contextlib.contextmanager
def run_s3_server(folder: Path) -> Iterator[S3Server]:
    """Until the block ends; `folder` takes its log and the options. It keeps objects in memory, in one bucket."""
    log = folder / "moto.log"
    with log.open("w") as written:
        process = subprocess.Popen(
            [_install() / "bin" / "moto_server", "-H", "127.0.0.1", "-p", "0"], stdout=written, stderr=written
        )
    try:
        url = _wait_for_url(process, log)
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=60).close()  # noqa: S310  # loopback
        config = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "aws_region": "us-east-1"}
        options = folder / "options"
        options.mkdir()
        for name, value in {**config, "aws_endpoint": url}.items():
            (options / name).write_text(value + "\n")
        yield S3Server(f"s3://{BUCKET}/prefix", options)
    finally:
        process.terminate()
        process.wait()


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        if found := re.search(r"Running on (http://\S+)", log.read_text()):
            return found[1]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise AssertionError(f"moto_server ended with {process.returncode}: {log.read_text()[-2000:]}")


def _install() -> Path:
    """The virtual environment; one process builds it, others wait."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlm-operator"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"s3-server-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    with (cache / "s3-server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "installed").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", target], check=True)
            pip: list[str | Path] = [target / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--require-hashes", "-r", LOCK], check=True)
            (target / "installed").touch()
    return target
