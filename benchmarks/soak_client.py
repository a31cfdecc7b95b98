"""One client of the soak: streamed questions one after another, some dropped in the middle, each answer checked."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import aiohttp

from benchmarks.model_control import MODEL

SUB_CALLS: Final = 4
TURNS: Final = [
    "Look.\n```repl\nprint(len(context))\n```",
    f"Ask.\n```repl\nreplies = llm_query_batched([f'{{context}} {{n}}' for n in range({SUB_CALLS})])\n```",
    "Done.\n```repl\nanswer['content'] = '|'.join(replies)\nanswer['ready'] = True\n```",
]
DROPPED: Final = 0.2  # of the questions, as a share of 1
LONGEST_STAY: Final = 3.0  # seconds before a client that will drop its stream does
LONGEST_PAUSE: Final = 1.0
MOST_EXAMPLES: Final = 20
OK: Final = "ok"


@dataclass(frozen=True)
class Outcome:
    status: str
    answer: str = ""


@dataclass
class SoakTally:
    """What the clients saw: outcomes by error code or `ok`, streams that they dropped, and what must not be."""

    asked: int = 0
    dropped: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failed_slots: int = 0
    wrong: int = 0
    stuck: int = 0
    refused: int = 0
    seconds: list[float] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def refuse(self, why: str) -> None:
        self.refused += 1
        self.note(why)

    def note(self, what: str) -> None:
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(what[:300])


class SoakClient:
    """`patience`: seconds after which a stream that has not ended is stuck."""

    def __init__(self, http: aiohttp.ClientSession, tally: SoakTally, seed: int, patience: float) -> None:
        self._http = http
        self._tally = tally
        self._seed = seed
        self._chance = random.Random(seed)  # noqa: S311  # a load that can be repeated
        self._patience = patience

    async def run(self, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await self._ask(f"client {self._seed} question {number}")
            await asyncio.sleep(self._chance.uniform(0, LONGEST_PAUSE))

    async def _ask(self, context: str) -> None:
        stay = self._chance.uniform(0, LONGEST_STAY) if self._chance.random() < DROPPED else None
        path, body = self._chance.choice((_chat_request, _native_request))(context)
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._patience), self._http.post(path, json=body) as response:
                if response.status != HTTPStatus.OK:
                    self._tally.refuse(f"{response.status} {await response.text()}")
                    return
                await response.content.readline()  # its run has begun, so it will be counted
                self._tally.asked += 1
                if stay is None:
                    self._judge(read_outcome(await response.read()), context)
                else:
                    await self._leave_after(stay, response, context)
        except TimeoutError:
            self._tally.stuck += 1
            self._tally.note(f"{context}: no end within {self._patience:g} s")
        except aiohttp.ClientError as error:
            self._tally.refuse(f"{context}: {type(error).__name__} {error}")
        self._tally.seconds.append(time.monotonic() - started)

    async def _leave_after(self, stay: float, response: aiohttp.ClientResponse, context: str) -> None:
        """Drop the stream then, unless it ends before."""
        try:
            async with asyncio.timeout(stay):
                stream = await response.read()
        except TimeoutError:
            response.close()
            self._tally.dropped += 1
        else:
            self._judge(read_outcome(stream), context)

    def _judge(self, outcome: Outcome, context: str) -> None:
        self._tally.outcomes[outcome.status] += 1
        if outcome.status != OK:
            return
        slots = outcome.answer.split("|")
        expected = [f"re: {context} {number}" for number in range(SUB_CALLS)]
        failed = [slot.startswith("Error: ") for slot in slots]
        self._tally.failed_slots += sum(failed)
        right = [slot == wanted or bad for slot, wanted, bad in zip(slots, expected, failed, strict=False)]
        if len(slots) != SUB_CALLS or not all(right):
            self._tally.wrong += 1
            self._tally.note(f"{context}: wrong answer {outcome.answer!r}")


def _chat_request(context: str) -> tuple[str, dict[str, object]]:
    parts = [{"type": "text", "text": text} for text in (context, "What is there?")]
    body = {"model": MODEL, "messages": [{"role": "user", "content": parts}], "stream": True}
    return "/v1/chat/completions", body


def _native_request(context: str) -> tuple[str, dict[str, object]]:
    return "/rlm/v1/runs", {"query": "What is there?", "context": context, "stream": True}


def read_outcome(stream: bytes) -> Outcome:
    """Of a stream of either kind that has ended: its answer, or the error's code; `unended` if it says neither."""
    datas = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    events = [json.loads(data) for data in datas if data != b"[DONE]"]
    for event in events:
        if "error" in event and event.get("type") in (None, "run.failed"):
            return Outcome(str(event["error"]["code"]))
        if event.get("type") == "run.completed":
            return Outcome(OK, event["answer"])
    answer = "".join(choice["delta"].get("content") or "" for event in events for choice in event.get("choices", []))
    return Outcome(OK, answer) if datas and datas[-1] == b"[DONE]" else Outcome("unended")
