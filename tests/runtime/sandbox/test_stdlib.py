"""The whole standard library can be imported, but for what needs what a sandbox has not."""

from __future__ import annotations

import ast
from typing import Final

from tests.runtime.sandbox.client import SandboxClient

ABSENT: Final[dict[str, str]] = {
    "curses": "there is no terminal",
    "pty": "there is no terminal",
    "readline": "there is no terminal",
    "termios": "there is no terminal",
    "tty": "there is no terminal",
    "tkinter": "there is no display",
    "turtle": "there is no display",
    "turtledemo": "there is no display",
    "idlelib": "there is no display",
    "ensurepip": "nothing can be installed",
    "venv": "nothing can be installed",
    "ssl": "there is no network, and no OpenSSL in a WASI build",
    "fcntl": "WASI has no such system calls",
    "resource": "WASI has no such system calls",
    "syslog": "WASI has no such system calls",
    "grp": "WASI has no users",
    "pwd": "WASI has no users",
    "msvcrt": "Windows only",
    "nt": "Windows only",
    "winreg": "Windows only",
    "winsound": "Windows only",
}
# Accelerators and platform parts; the public modules above them work without.
PRIVATE_ABSENT: Final = frozenset(
    (
        "_ctypes",
        "_curses",
        "_curses_panel",
        "_dbm",
        "_decimal",
        "_gdbm",
        "_hashlib",
        "_interpchannels",
        "_interpqueues",
        "_interpreters",
        "_ios_support",
        "_multiprocessing",
        "_overlapped",
        "_posixshmem",
        "_posixsubprocess",
        "_remote_debugging",
        "_scproxy",
        "_ssl",
        "_tkinter",
        "_uuid",
        "_winapi",
        "_wmi",
        "_zstd",
    )
)
# These do something when they are imported: a browser is opened, a poem is printed.
NOT_TRIED: Final = frozenset({"antigravity", "this"})

IMPORT_ALL: Final = """
import sys
absent = []
for name in sorted(sys.stdlib_module_names - %r):
    try:
        __import__(name)
    except ImportError:
        absent.append(name)
absent
"""

USES: Final = """
import bz2, csv, datetime, decimal, fractions, gzip, hashlib, io, json, lzma, sqlite3, statistics, tempfile, uuid
import zipfile, zlib
import xml.etree.ElementTree as tree, zoneinfo, html, urllib.parse, difflib, heapq, unicodedata, collections, tomllib
results = [
    str(decimal.Decimal(1) / 7)[:10],
    hashlib.sha256(b"x").hexdigest()[:8],
    zlib.decompress(zlib.compress(b"z")),
    bz2.decompress(bz2.compress(b"b")),
    gzip.decompress(gzip.compress(b"g")),
    sqlite3.connect(":memory:").execute("select 40 + 2").fetchone(),
    tree.fromstring("<a><b>t</b></a>").find("b").text,
    len(str(uuid.uuid4())),
    urllib.parse.quote("a b"),
    unicodedata.name("é"),
    tomllib.loads("a = 1"),
    statistics.median([1, 2, 9]),
]
with tempfile.TemporaryDirectory() as folder:
    with zipfile.ZipFile(folder + "/z.zip", "w") as z:
        z.writestr("a", "zipped")
    results.append(zipfile.ZipFile(folder + "/z.zip").read("a"))
results
"""


async def test_everything_but_a_reasoned_list_is_importable(client: SandboxClient) -> None:
    reply = await client.execute(IMPORT_ALL % set(NOT_TRIED))
    assert reply.result is not None, reply.error
    absent = set(ast.literal_eval(reply.result))
    assert {name for name in absent if not name.startswith("_")} == set(ABSENT)
    assert {name for name in absent if name.startswith("_")} == PRIVATE_ABSENT


async def test_the_modules_that_analysis_uses_work_and_are_not_only_there(client: SandboxClient) -> None:
    reply = await client.execute(USES)
    assert reply.result is not None, reply.error
    assert ast.literal_eval(reply.result) == [
        "0.14285714",
        "2d711642",
        b"z",
        b"b",
        b"g",
        (42,),
        "t",
        36,
        "a%20b",
        "LATIN SMALL LETTER E WITH ACUTE",
        {"a": 1},
        2,
        b"zipped",
    ]


async def test_a_written_file_has_the_time_of_its_writing_and_a_zip_archive_takes_it(client: SandboxClient) -> None:
    code = """
import os, time, zipfile
with open("/tmp/a.txt", "w") as file:
    file.write("text")
with zipfile.ZipFile("/tmp/a.zip", "w") as archive:
    archive.write("/tmp/a.txt")
    archive.write("/tmp", "folder")
abs(time.time() - os.stat("/tmp/a.txt").st_mtime) < 60, archive.infolist()[0].date_time[0] >= 2026
"""
    assert (await client.execute(code)).result == "(True, True)"
