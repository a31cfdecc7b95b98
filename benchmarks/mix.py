"""One client of the load: sessions that come and go, and in each of them cells of every kind, checked one by one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp

from benchmarks.tally import Tally

SESSION_ACTIONS: Final = 12  # before a session is deleted and another one made
FLOOD_BYTES: Final = 3 << 20
TEXT: Final = "0123456789abcdef" * 16_384  # 256 KiB
SHORT_TIMEOUT: Final = 0.2
MOST_TRIES: Final = 50
OK: Final = (200, 201, 204)
LATER: Final = (409, 429)


class MixClient:
    """Back to back until it is stopped. `self._count` is what the session's variable `n` must be."""

    def __init__(self, http: aiohttp.ClientSession, tally: Tally, seed: int) -> None:
        self._http = http
        self._tally = tally
        self._random = random.Random(seed)  # noqa: S311  # a load that can be repeated
        self._id = ""
        self._count = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._id, self._count = f"load-{secrets.token_hex(8)}", 0
            policy = self._random.choice(("cell", "idle"))
            body: dict[str, object] = {"prelude": "n = 0", "host_functions": ["ask"], "checkpoint": policy}
            body["session_id"] = self._id
            if await self._post("create", "/sessions", body) is None:
                continue
            for _ in range(SESSION_ACTIONS):
                if stop.is_set():
                    break
                await self._choose()()
            await self._delete()

    def _choose(self) -> Callable[[], Awaitable[None]]:
        actions: dict[Callable[[], Awaitable[None]], int] = {
            self.good: 40,
            self.one_shot: 8,
            self.host_calls: 10,
            self.variables: 6,
            self.fork: 4,
            self.slow: 6,
            self.error: 6,
            self.flood: 4,
            self.greedy: 4,
            self.crash: 4,
            self.endless: 4,
            self.disconnect: 4,
        }
        return self._random.choices(list(actions), list(actions.values()))[0]

    async def good(self) -> None:
        reply = await self._cell("good", "n += 1\nn")
        if reply is not None:
            self._count += 1
            self._check("good", reply, reply["result"] == str(self._count))

    async def one_shot(self) -> None:
        reply = await self._post("one-shot", "/execute", {"code": "sum(range(100))"})
        if reply is not None:
            self._check("one-shot", reply, reply["result"] == "4950")

    async def host_calls(self) -> None:
        reply = await self._cell("host call", "[ask('a'), ask('b')]")
        for answer in ("1", "2"):
            if reply is None:
                return
            self._check("host call", reply, reply["status"] == "suspended")
            call = reply["call"]
            body = {"call_id": call["id"], "result": answer}
            # An answer that finds no room must be given again: the cell waits for it.
            reply = await self._post("resume", f"/sessions/{self._id}/resume", body, patient=True)
        if reply is not None:
            self._check("host call", reply, reply["result"] == "['1', '2']")

    async def variables(self) -> None:
        path = f"/sessions/{self._id}/variables/text"
        if await self._ask("put", "PUT", path, TEXT.encode(), "text/plain") is None:
            return
        back = await self._ask("get", "GET", path)
        if back is not None:
            self._tally.check("get", back == TEXT.encode(), f"{len(back)} bytes came back")

    async def fork(self) -> None:
        reply = await self._post("fork", f"/sessions/{self._id}/fork", {})
        if reply is None:
            return
        branch, self._id = self._id, reply["session_id"]
        seen = await self._cell("branch", "n")
        if seen is not None:
            self._check("branch", seen, seen["result"] == str(self._count))
        await self._delete()
        self._id = branch

    async def slow(self) -> None:
        reply = await self._cell("slow", "import time; time.sleep(0.1); 'done'")
        if reply is not None:
            self._check("slow", reply, reply["result"] == "'done'")

    async def error(self) -> None:
        reply = await self._cell("error", "1 / 0")
        if reply is not None:
            self._check("error", reply, reply["status"] == "error")

    async def flood(self) -> None:
        reply = await self._cell("flood", f"import sys; _ = sys.stdout.write('x' * {FLOOD_BYTES})")
        if reply is not None:
            self._check("flood", reply, reply["stdout_truncated"] and len(reply["stdout"]) < FLOOD_BYTES)

    async def greedy(self) -> None:
        reply = await self._cell("greedy", "len(bytearray(1 << 30))")
        if reply is not None:
            self._check("greedy", reply, reply["status"] in ("error", "memory"))

    async def crash(self) -> None:
        await self._bad("crash", "n = -1; import os; os.abort()", "crashed")

    async def endless(self) -> None:
        await self._bad("endless", "n = -1\nwhile True: pass", "timeout", timeout=SHORT_TIMEOUT)

    async def _bad(self, kind: str, code: str, status: str, timeout: float = 30.0) -> None:  # noqa: ASYNC109  # the cell's
        reply = await self._cell(kind, code, timeout=timeout)
        if reply is None:
            return
        self._check(kind, reply, reply["status"] == status and reply["rolled_back"])
        await self._look_again(kind)

    async def disconnect(self) -> None:
        """Go away in the middle of a cell; it must be rolled back."""
        body = {"code": "n = -1\nwhile True: pass", "session_id": self._id, "create": False}
        running = asyncio.create_task(self._post("disconnect", "/execute", body))
        await asyncio.sleep(self._random.uniform(0.005, 0.1))
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await self._look_again("disconnect")

    async def _look_again(self, kind: str) -> None:
        """Under `idle` some cells before the bad one may be gone; what is there is never half of a cell."""
        reply = await self._cell(f"after {kind}", "n", patient=True)
        if reply is None:
            return
        value = int(reply["result"]) if reply["result"] else -1
        self._check(f"after {kind}", reply, 0 <= value <= self._count)
        self._count = value

    async def _delete(self) -> None:
        await self._ask("delete", "DELETE", f"/sessions/{self._id}")

    async def _cell(self, kind: str, code: str, *, patient: bool = False, **fields: object) -> dict[str, Any] | None:
        body = {"code": code, "session_id": self._id, "create": False, **fields}
        return await self._post(kind, "/execute", body, patient=patient)

    def _check(self, kind: str, reply: dict[str, Any], holds: bool) -> None:
        self._tally.check(kind, holds, str({key: reply.get(key) for key in ("status", "result", "error")}))

    async def _post(
        self, kind: str, path: str, body: dict[str, object], *, patient: bool = False
    ) -> dict[str, Any] | None:
        """The reply; None if there was none or the service had no room for it."""
        raw = await self._ask(kind, "POST", path, json.dumps(body).encode(), patient=patient)
        reply: dict[str, Any] | None = None if raw is None else json.loads(raw)
        return reply

    async def _ask(
        self,
        kind: str,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        *,
        patient: bool = False,
    ) -> bytes | None:
        """`patient` asks again when there is no room (429) or the session is still being rolled back (409)."""
        for _ in range(MOST_TRIES if patient else 1):
            answer = await self._tally.ask(self._http, kind, method, path, body, content_type)
            if answer.status in OK:
                return answer.body
            if answer.status not in LATER:
                return None
            await asyncio.sleep(answer.retry_after if patient else 0.0)
        return None
