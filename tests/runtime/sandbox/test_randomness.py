"""What differs between sessions, what never does, and what a seed fixes."""

from __future__ import annotations

import pytest

from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, new_id

RANDOM = {
    "os.urandom": "import os; os.urandom(16).hex()",
    "random": "import random; random.random()",
    "a new Random": "import random; random.Random().random()",
    "uuid4": "import uuid; uuid.uuid4().hex",
    "secrets": "import secrets; secrets.token_hex()",
    "a temporary name": "import tempfile; tempfile.mktemp()",
}


@pytest.mark.parametrize("code", RANDOM.values(), ids=RANDOM.keys())
async def test_sessions_never_share_randomness(client: SandboxClient, code: str) -> None:
    results = [(await client.execute(code)).result for _ in range(6)]
    assert len(set(results)) == 6
    session = new_id()
    assert len({(await client.execute(code, session)).result for _ in range(3)}) == 3


async def test_urandom_after_a_rollback_does_not_repeat(client: SandboxClient) -> None:
    session = (await client.create(prelude="import os", host_functions=["ask"])).session_id
    before = await client.execute("v = os.urandom(16).hex()\nask(v)", session)
    assert before.call is not None
    reply = await client.resume(session, before.call.id, error="x")
    assert reply.status is Status.ERROR
    await client.execute("while True: pass", session, timeout=0.3)
    after = await client.execute("os.urandom(16).hex()", session)
    assert after.result is not None
    assert after.result.strip("'") not in before.call.payload


async def test_hashes_and_the_order_of_sets_are_the_same_in_every_session(client: SandboxClient) -> None:
    code = "hash('abc'), hash(b'x'), list({'a', 'b', 'c', 'd', 'e', 'f'}), hash((1, 'a'))"
    assert len({(await client.execute(code)).result for _ in range(3)}) == 1


async def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(client: SandboxClient) -> None:
    async def numbers(seed: int) -> str | None:
        session = (await client.create(seed=seed, prelude="import random")).session_id
        first = (await client.execute("[random.random() for _ in range(3)]", session)).result
        second = (await client.execute("random.randrange(10**9)", session)).result
        return f"{first} {second}"

    assert await numbers(7) == await numbers(7) != await numbers(8)


async def test_a_seed_does_not_fix_urandom(client: SandboxClient) -> None:
    values = set()
    for _ in range(2):
        session = (await client.create(seed=7)).session_id
        values.add((await client.execute("import os; os.urandom(8)", session)).result)
    assert len(values) == 2


async def test_clocks_are_real_and_of_microsecond_resolution(client: SandboxClient) -> None:
    resolution = "round(time.get_clock_info('monotonic').resolution * 1e6)"
    code = f"import time; {resolution}, time.time() > 1.7e9, time.monotonic() > 0"
    assert (await client.execute(code)).result == "(1, True, True)"
