"""The ways out of Pyodide that a cell finds first lead nowhere; what is left when one does: test_node_process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pytest

from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, new_id


@dataclass(frozen=True)
class Escape:
    """`code` must end with one of `errors`: types of exceptions, or `crashed`."""

    name: str
    code: str
    errors: tuple[str, ...]


CONSTRUCTED: Final = "from pyodide.ffi import to_js\nto_js({}).constructor.constructor('return process')()"
ESCAPES: Final = (
    Escape("the module js", "import js", ("ModuleNotFoundError",)),
    Escape("the module pyodide_js", "import pyodide_js", ("ModuleNotFoundError",)),
    Escape("its private part", "from pyodide_js import _api", ("ModuleNotFoundError",)),
    Escape("run_js", "from pyodide.code import run_js; run_js('process')", ("ModuleNotFoundError",)),
    Escape("a constructor of functions", CONSTRUCTED, ("JsException",)),
    Escape("eval through ctypes", "import ctypes; ctypes.CDLL(None).emscripten_run_script(b'1')", ("crashed",)),
    Escape("a socket", "import socket; socket.create_connection(('127.0.0.1', 9))", ("OSError",)),
    Escape("a URL", "import urllib.request as u; u.urlopen('http://127.0.0.1:9')", ("URLError",)),
    Escape("a process", "import subprocess; subprocess.run(['id'])", ("OSError",)),
    Escape("fork", "import os; os.fork()", ("OSError",)),
    Escape("a thread", "import threading; threading.Thread(target=print).start()", ("RuntimeError",)),
    Escape("a package from outside", "import micropip", ("ModuleNotFoundError",)),
    Escape("a file of the machine", "open('/etc/passwd')", ("FileNotFoundError",)),
)


async def test_known_escapes_end_in_an_error(client: SandboxClient) -> None:
    session = new_id()
    for escape in ESCAPES:
        reply = await client.execute(escape.code, session)
        assert reply.status in (Status.ERROR, Status.CRASHED), escape.name
        assert reply.error is not None
        assert reply.error.type in escape.errors, (escape.name, reply.error)
        if reply.session_lost:
            session = new_id()


@pytest.mark.parametrize("command", ["true", "echo x > /tmp/escaped"])
async def test_a_shell_command_is_not_run(client: SandboxClient, command: str) -> None:
    """Emscripten's `system` asks Node for a shell; without our measures the status is 0."""
    reply = await client.execute(f"import os; os.system({command!r})")
    assert reply.status is Status.OK
    assert reply.result != "0"


async def test_pyodides_own_modules_are_there(client: SandboxClient) -> None:
    code = "import pyodide, sys\nfrom pyodide.ffi import to_js\nlist(to_js([1, 2])), pyodide.__version__, sys.platform"
    reply = await client.execute(code)
    assert reply.result == "([1, 2], '314.0.7', 'emscripten')"


async def test_a_sessions_files_and_environment_hold_nothing_of_the_machine(client: SandboxClient) -> None:
    code = "import os\nsorted(os.listdir('/')), dict(os.environ), os.listdir('/tmp')"
    reply = await client.execute(code)
    assert reply.result == "(['dev', 'home', 'host', 'lib', 'proc', 'tmp'], {}, [])"
