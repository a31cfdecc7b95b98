"""The guest's zip without the scientific packages: what is left is the standard library, and it is all there."""

from __future__ import annotations

import ast
import shutil
import zipfile
from pathlib import Path

from runtime.sandbox.guest_image import STDLIB, STDLIB_ZIP
from runtime.sandbox.stdlib_zip import is_standard, strip, top_module
from tests.runtime.sandbox.client import SandboxClient

# Of the build itself: not in the interpreter's list, and no package of others either.
BUILDS_OWN = {"__hello__", "__phello__", "_missing_stdlib_info", "_sysconfigdata__wasi_wasm32-wasi", "host", "tzdata"}


async def test_what_is_called_standard_is_what_the_guests_interpreter_calls_so(client: SandboxClient) -> None:
    reply = await client.execute("import sys\nprint(sorted(sys.stdlib_module_names))")
    names = set(ast.literal_eval(reply.stdout))
    with zipfile.ZipFile(STDLIB.resource(STDLIB_ZIP)) as archive:
        kept = {top_module(entry) for entry in archive.namelist() if is_standard(entry) and ".dist-info/" not in entry}
        gone = {top_module(entry) for entry in archive.namelist() if not is_standard(entry)}
    assert kept - names == BUILDS_OWN
    assert not gone & names


def test_the_stripped_zip_holds_the_standard_entries_unchanged_and_is_a_tenth(tmp_path: Path) -> None:
    path = tmp_path / "python-stdlib.zip"
    shutil.copy(STDLIB.resource(STDLIB_ZIP), path)
    before = path.stat().st_size
    strip(path)
    assert path.stat().st_size < before / 9
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(STDLIB.resource(STDLIB_ZIP)) as whole:
        assert set(archive.namelist()) == set(filter(is_standard, whole.namelist()))
        assert archive.read("json/__init__.pyc") == whole.read("json/__init__.pyc")
