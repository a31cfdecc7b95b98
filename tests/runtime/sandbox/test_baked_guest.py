"""A guest image with packages from the real index, baked and run as a service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from runtime.sandbox.baked_guest import BakedGuest
from runtime.sandbox.baking.guest_file import write_guest
from runtime.sandbox.guest_image import SITE_PACKAGES
from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, connect
from tests.runtime.sandbox.server import SandboxServer, run_server

# Pure Python; text-unidecode comes as its need and reads a data file beside its code.
PACKAGES: Final = "python-slugify==8.0.4 humanize==4.12.3"


def bake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime.sandbox.baking", "--folder", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    folder = tmp_path_factory.mktemp("guests")
    done = bake(folder, "--packages", PACKAGES, "--name", "tools", "--preload", "slugify")
    assert done.returncode == 0, done.stderr
    with run_server(image="tools", guest_dir=folder) as running:
        yield running


@pytest.fixture
async def client(baked: SandboxServer) -> AsyncIterator[SandboxClient]:
    """Of the server with the baked image, in this file."""
    async with connect(baked) as connected:
        yield connected


USES: Final = {
    "a package, its need and that one's data file": (
        "import slugify\nslugify.slugify('Über die größte Höhe')",
        "'uber-die-grosste-hohe'",
    ),
    "a translation read by gettext": (
        "import humanize\n_ = humanize.i18n.activate('de_DE')\nhumanize.naturaltime(3 * 3600)",
        "'vor 3 Stunden'",
    ),
    "package data by importlib.resources": (
        "from importlib.resources import files\nlen(files('text_unidecode').joinpath('data.bin').read_bytes()) > 10**5",
        "True",
    ),
    "a data file by its path": (
        "import humanize, os\nos.path.isdir(os.path.join(os.path.dirname(humanize.__file__), 'locale', 'de_DE'))",
        "True",
    ),
    "versions by importlib.metadata": (
        "import importlib.metadata as m\nm.version('python-slugify'), m.version('humanize')",
        "('8.0.4', '4.12.3')",
    ),
    "a preloaded module": ("import sys\n'slugify' in sys.modules, 'humanize' in sys.modules", "(True, False)"),
    "the standard library": ("import json, zoneinfo\nzoneinfo.ZoneInfo('Europe/Berlin').key", "'Europe/Berlin'"),
}


@pytest.mark.parametrize(("code", "expected"), USES.values(), ids=USES.keys())
async def test_a_cell_uses(code: str, expected: str, client: SandboxClient) -> None:
    reply = await client.execute(code)
    assert (reply.result, reply.error) == (expected, None)


async def test_the_session_says_which_image_it_is_and_what_can_be_imported(client: SandboxClient) -> None:
    created = await client.create()
    assert (created.image, created.capabilities.packages) == ("tools", ["humanize", "slugify", "text_unidecode"])


async def test_a_baked_package_cannot_be_changed_by_a_cell(client: SandboxClient) -> None:
    reply = await client.execute("import slugify\nopen(slugify.__file__, 'w')")
    assert reply.status is Status.ERROR
    assert reply.error is not None
    assert "Read-only" in reply.error.message


async def test_a_session_comes_back_after_a_kill_with_what_it_imported(client: SandboxClient) -> None:
    created = await client.create()
    await client.execute("import humanize\nn = humanize.intcomma(10**6)", created.session_id)
    reply = await client.execute("while True: pass", created.session_id, timeout=0.5)
    assert (reply.status, reply.rolled_back) == (Status.TIMEOUT, True)
    assert (await client.execute("n, humanize.intcomma(1000)", created.session_id)).result == "('1,000,000', '1,000')"


def test_a_compiled_package_of_the_index_is_refused_and_the_base_that_has_it_named(tmp_path: Path) -> None:
    done = bake(tmp_path, "--packages", "numpy")
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert "numpy has compiled extensions (numpy-" in told
    assert "BASE=scientific has it" in told


def test_a_service_asked_for_an_image_that_is_not_there_ends_with_a_line_that_lists_them(tmp_path: Path) -> None:
    write_guest(BakedGuest("tools", "stdlib", (), ()), {}, tmp_path)
    with pytest.raises(AssertionError) as raised, run_server(image="tolls", guest_dir=tmp_path):
        pass
    message = str(raised.value)
    assert "ended with status 2" in message
    assert "SANDBOX_IMAGE: there is no guest image 'tolls': here are stdlib, scientific, " in message
    assert f"tools. Baked ones are NAME.guest in {tmp_path}" in message


def test_a_service_whose_preloaded_module_cannot_be_imported_ends_with_its_error(tmp_path: Path) -> None:
    broken = {f"{SITE_PACKAGES}/broken.py": b"raise RuntimeError('needs a network')"}
    write_guest(BakedGuest("broken", "stdlib", ("broken",), ()), broken, tmp_path)
    with pytest.raises(AssertionError) as raised, run_server(image="broken", guest_dir=tmp_path):
        pass
    assert "ended with status 1" in str(raised.value)
    assert "guest image broken did not start: RuntimeError: needs a network" in str(raised.value)
