"""The package index, through pip: wheels for a guest, fetched into a folder and never installed.

pip's own settings (pip.conf, PIP_ variables) say which index that is. `--only-binary` keeps pip from building a source
distribution, which would run the package's code.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from runtime.sandbox.baking.errors import DownloadError
from runtime.sandbox.baking.requirements import Wanted

PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
ONLY_WHEELS: Final = ("--no-deps", "--only-binary=:all:", "--quiet")
FOR_THE_GUEST: Final = ("--platform=any", "--python-version=3.15", "--implementation=py", "--abi=none")
NOT_FOUND: Final = re.compile(r"No matching distribution found for ([^\s(]+)")
PURE: Final = "-none-any.whl"


def download(wanted: Iterable[Wanted], folder: Path) -> list[Path]:
    """A wheel of each package that `wanted` names, the newest that meets all its requirements. DownloadError."""
    folder.mkdir()
    listing = folder / "requirements.txt"
    listing.write_text("".join(f"{_line(each)}\n" for each in wanted), encoding="utf-8")
    options = ("--progress-bar=off", f"--dest={folder}", f"--requirement={listing}")
    done = _run_pip("download", *ONLY_WHEELS, *FOR_THE_GUEST, *options)
    if done.returncode != 0:
        missing = NOT_FOUND.search(done.stderr)
        if missing is None:
            raise DownloadError(_last_error(done.stderr))
        raise DownloadError(_explain(missing[1]), canonicalize_name(Requirement(missing[1]).name))
    return sorted(folder.glob("*.whl"))


def _line(wanted: Wanted) -> str:
    return " ".join([str(wanted), *(f"--hash={each}" for each in wanted.hashes)])


def _explain(requirement: str) -> str:
    """Why there is no pure-Python wheel for `requirement`: is there one for this machine?"""
    wheel = _native_wheel(requirement)
    if wheel is None:
        return (
            f"no wheel of {requirement} was found: look at its name and version; "
            "what is published as source only is not baked, since building it would run its code"
        )
    if wheel.endswith(PURE):
        return f"{requirement} has no version for Python 3.15, which the guest runs ({wheel} is for older ones)"
    return (
        f"{Requirement(requirement).name} has compiled extensions ({wheel}), "
        "and a guest takes pure-Python packages only: it cannot be baked"
    )


def _native_wheel(requirement: str) -> str | None:
    """The wheel that this machine's Python would get; nothing is installed."""
    done = _run_pip("install", *ONLY_WHEELS, "--dry-run", "--ignore-installed", "--report=-", requirement)
    if done.returncode != 0:
        return None
    url: str = json.loads(done.stdout)["install"][0]["download_info"]["url"]
    return Path(urlsplit(url).path).name


def _last_error(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()] or ["it failed without a word"]
    errors = [line for line in lines if line.startswith("ERROR: ")] or lines
    return f"pip: {errors[-1].removeprefix('ERROR: ')}"


def _run_pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - pip, with requirements that were parsed
        [*PIP, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
