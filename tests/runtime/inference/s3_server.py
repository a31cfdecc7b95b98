"""An S3 server of its own for the storage tests: moto's, a process that speaks the protocol over HTTP.

Its packages (boto among them) do not agree with the service's, so it lives in a virtual environment beside them, built
from `requirements/s3-server.lock`.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.locked_environment import install_environment

BUCKET: Final = "runs"


@dataclass(frozen=True)
class S3Server:
    url: str
    config_dir: Path  # the store's options, as a Secret is mounted


@contextlib.contextmanager
def run_s3_server(folder: Path) -> Iterator[S3Server]:
    """Until the block ends; `folder` takes its log and the options. It keeps objects in memory, in one bucket."""
    log = folder / "moto.log"
    program = install_environment("s3-server") / "bin" / "moto_server"
    with log.open("w") as written:
        process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", "0"], stdout=written, stderr=written)
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
