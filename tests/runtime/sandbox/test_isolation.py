"""What code in a session can reach, and what its process holds: nothing of the host's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.sandbox.hardening import FIRST_SESSION_UID, OOM_SCORE
from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import (
    command_line,
    descendants,
    descriptors,
    environment,
    found_in_memory,
    sessions_of,
    status,
    zygote_of,
)
from tests.runtime.sandbox.server import KEYS, SandboxServer

LANDMARK = "landmark-of-an-earlier-session-9c1f"


async def test_the_environment_is_empty(client: SandboxClient) -> None:
    assert (await client.execute("import os; dict(os.environ), os.getenv('PATH'), os.getenv('HOME')")).result == (
        "({}, None, None)"
    )


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/etc/rlm/api-keys", "/proc/self/environ", "/proc/1/cmdline", "/sys", "/dev/null", "/root", "/",
     "../../etc/passwd", "/tmp/../etc/passwd", "/usr/local/lib/../../../etc/passwd", "~"],
)  # fmt: skip
async def test_no_file_of_the_host_can_be_opened_or_listed(client: SandboxClient, path: str) -> None:
    code = f"""
import os
seen = []
for attempt in (lambda: open({path!r}).read(), lambda: os.listdir({path!r}), lambda: os.stat({path!r}).st_size):
    try:
        seen.append(attempt())
    except OSError:
        pass
seen"""
    assert (await client.execute(code)).result == "[]"


async def test_the_only_files_are_the_images_and_the_sessions_own(client: SandboxClient) -> None:
    code = "import os; {d: sorted(os.listdir(d)) for d in ('/tmp', '/usr/local/lib', '/host')}"
    assert (await client.execute(code)).result == (
        "{'/tmp': [], '/usr/local/lib': ['python315.zip'], '/host': ['door', 'sandbox']}"
    )


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 80), timeout=1)",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1/')",
        "import http.client; http.client.HTTPConnection('127.0.0.1').request('GET', '/')",
        "import subprocess; subprocess.run(['ls'])",
        "import os; os.system('ls')",
        "import os; os.fork()",
        "import os; os.execv('/bin/sh', ['sh'])",
        "import os; os.kill(1, 9)",
        "import threading; threading.Thread(target=print).start()",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
        "import ctypes; ctypes.CDLL(None).system(b'ls')",
        "import ctypes; ctypes.string_at(0, 100)",
        "import os; os.symlink('/etc/passwd', '/tmp/p'); open('/tmp/p').read()",
        "import os; os.setuid(0)",
        "import os; os.chroot('/')",
        "import signal; signal.alarm(1)",
        "import mmap; mmap.mmap(-1, 4096, access=mmap.ACCESS_WRITE).seek(1 << 40)",
    ],
)
async def test_what_reaches_out_is_an_error_in_the_cell_and_the_session_goes_on(
    client: SandboxClient, code: str
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    reply = await client.execute(code, session)
    assert reply.status in (Status.ERROR, Status.CRASHED), reply.result
    assert reply.stdout == ""
    assert (await client.execute("x", session)).result == "1"


async def test_no_process_of_the_service_has_a_key_in_its_environment_or_arguments(
    client: SandboxClient, server: SandboxServer
) -> None:
    await client.execute("x = 1", new_id())
    for pid in {server.pid} | descendants(server.pid):
        for key in KEYS.values():
            assert key.encode() not in environment(pid)
            assert key.encode() not in command_line(pid)


async def test_zygote_and_sessions_have_an_empty_environment_and_no_trace_of_the_key_folder(
    client: SandboxClient, server: SandboxServer
) -> None:
    await client.execute("x = 1", new_id())
    processes = descendants(server.pid)
    assert len(processes) >= 3
    for pid in processes:
        assert environment(pid) == b""
        assert str(server.keys).encode() not in command_line(pid)


async def settled(server: SandboxServer) -> None:
    """A session with its checkpoint and the two spares are there, and nothing is just being forked."""

    def is_settled() -> bool:
        sessions = sessions_of(server.pid)
        return len(sessions) == 4 and descendants(server.pid) == sessions | {zygote_of(server.pid)}

    await eventually(is_settled)


async def test_session_processes_are_hardened(client: SandboxClient, server: SandboxServer) -> None:
    await client.execute("x = 1", new_id())
    await settled(server)
    users = set()
    for pid in sessions_of(server.pid):
        facts = status(pid)
        assert facts["NoNewPrivs"] == "1"
        assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == int(OOM_SCORE)  # noqa: ASYNC240 - procfs
        assert facts["Seccomp"] == "2"
        assert facts["CapEff"] in ("0000000000000000",) or os.geteuid() != 0
        if os.geteuid() == 0:
            assert facts["Groups"] == ""
            ids = set(facts["Uid"].split()) | set(facts["Gid"].split())
            assert len(ids) == 1
            users.add(int(ids.pop()))
    if os.geteuid() == 0:
        assert all(user >= FIRST_SESSION_UID for user in users)
        assert len(users) >= 3  # two spares and a session


async def test_a_session_process_has_only_its_socket_and_its_checkpoints_pipe(
    client: SandboxClient, server: SandboxServer
) -> None:
    await client.execute("x = 1", new_id())
    await settled(server)
    for pid in sessions_of(server.pid):
        opened = descriptors(pid)
        assert all(opened[number] == "/dev/null" for number in (0, 1, 2))
        assert opened[3].startswith("socket:")
        others = {target for number, target in opened.items() if number > 3}
        assert len(others) <= 2  # its own pipe, and in a checkpoint that of the one before
        assert all(target.startswith("pipe:") for target in others)


async def test_no_session_holds_a_key_or_a_byte_of_another_session_in_its_memory(
    client: SandboxClient, server: SandboxServer
) -> None:
    needles = {LANDMARK.encode(), *(key.encode() for key in KEYS.values())}
    first = (await client.execute(f"secret = {LANDMARK!r} * 1000\nprint(secret[:99])", new_id())).session_id
    known = sessions_of(server.pid)
    found = set.union(*(found_in_memory(pid, needles) for pid in known))
    assert found == {LANDMARK.encode()}, "the search must be able to find what is there"
    await client.delete(first)
    for _ in range(4):  # more than the spares that were there before
        await client.execute("y = 1", new_id())
    await eventually(lambda: len(sessions_of(server.pid) - known) >= 4)
    for pid in (sessions_of(server.pid) - known) | {zygote_of(server.pid)}:
        assert not found_in_memory(pid, needles)


async def test_guest_code_cannot_find_a_key_in_its_own_memory(client: SandboxClient) -> None:
    code = "import gc\n[o for o in gc.get_objects() if isinstance(o, (str, bytes)) and 'key-of-' in str(o)]"
    assert (await client.execute(code)).result == "[]"


async def test_raw_writes_to_descriptors_1_and_2_are_in_the_reply_and_not_in_the_services_log(
    client: SandboxClient, server: SandboxServer
) -> None:
    reply = await client.execute("import os; os.write(1, b'raw-out-77'); os.write(2, b'raw-err-77'); print('own')")
    assert (reply.stdout, reply.stderr) == ("own\nraw-out-77", "raw-err-77")
    assert "raw-out-77" not in server.log.read_text()
    assert "raw-err-77" not in server.log.read_text()


async def test_a_name_cannot_forge_a_log_line_and_code_output_and_session_ids_are_not_logged(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id("secret-name")
    reply = await client.execute("print('out-5511')\nraise ValueError('\\n{\"level\": \"INFO\"}')", session)
    assert reply.status is Status.ERROR
    text = server.log.read_text()
    assert session not in text
    assert "out-5511" not in text
    assert all("level" in line and "message" in line for line in server.log_lines())
