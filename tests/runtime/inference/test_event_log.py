"""The log of a run's events: many readers, from any point, live and after the end."""

from __future__ import annotations

import asyncio

import pytest

from runtime.inference.event_log import BLOCK_EVENTS, SPOOL_BYTES, EventLog, read_compressed
from runtime.inference.events import CellStarted, TrajectoryEvent

DEADLINE = 30.0


def event(seq: int, code: str = "pass") -> CellStarted:
    return CellStarted(run_id="r", seq=seq, at=1.5, iteration=1, code=code)


def fill(log: EventLog, count: int, code: str = "pass") -> None:
    for seq in range(len(log), len(log) + count):
        log.append(event(seq, code))


async def numbers(log: EventLog, after: int = -1) -> list[int]:
    """All that a reader gets until the log ends."""
    async with asyncio.timeout(DEADLINE):
        return [each.seq async for each in log.follow(after) if each is not None]


@pytest.mark.parametrize("count", [0, 1, BLOCK_EVENTS, BLOCK_EVENTS + 1, 5 * BLOCK_EVENTS + 3])
async def test_closed_log_gives_everything_to_every_reader(count: int) -> None:
    log = EventLog()
    fill(log, count)
    log.close()
    for _ in range(2):
        assert await numbers(log) == list(range(count))


@pytest.mark.parametrize("after", [-5, 0, BLOCK_EVENTS - 2, BLOCK_EVENTS - 1, BLOCK_EVENTS, 199, 200, 10_000])
async def test_reader_begins_after_any_event(after: int) -> None:
    log = EventLog()
    fill(log, 200)
    log.close()
    assert await numbers(log, after) == list(range(max(0, after + 1), 200))


async def test_readers_at_different_points_follow_live_to_the_end() -> None:
    log = EventLog()
    fill(log, 3)
    readers = [asyncio.create_task(numbers(log, after)) for after in (-1, 1, 2, 150)]
    for _ in range(100):
        fill(log, 3)
        await asyncio.sleep(0)
    late = asyncio.create_task(numbers(log))
    log.close()
    total = len(log)
    assert [await reader for reader in readers] == [list(range(first, total)) for first in (0, 2, 3, 151)]
    assert await late == list(range(total))


async def test_slow_reader_loses_nothing_while_blocks_are_sealed_under_it() -> None:
    log = EventLog()
    fill(log, BLOCK_EVENTS + 10)
    reading = log.follow()
    first = await anext(reading)
    assert first is not None
    fill(log, 10 * BLOCK_EVENTS)
    log.close()
    rest = [each.seq async for each in reading if each is not None]
    assert [first.seq, *rest] == list(range(11 * BLOCK_EVENTS + 10))


async def test_silence_is_told_and_the_reader_goes_on() -> None:
    log = EventLog()
    reading = log.follow(patience=0.001)
    assert await anext(reading) is None
    assert await anext(reading) is None
    fill(log, 1)
    assert await anext(reading) == event(0)
    log.close()
    assert [each async for each in reading if each is not None] == []


async def test_event_out_of_order_is_refused() -> None:
    log = EventLog()
    fill(log, 1)
    for seq in (0, 2):
        with pytest.raises(ValueError, match="where 1 was due"):
            log.append(event(seq))


async def test_events_come_back_as_they_were_also_from_a_file_and_from_what_is_stored() -> None:
    log = EventLog()
    said: list[TrajectoryEvent] = [
        event(
            seq, f"print('{seq}\u2028\n')" + "".join(chr(0x4E00 + (seq * 7919 + i * i) % 20_000) for i in range(3000))
        )
        for seq in range(4 * BLOCK_EVENTS)
    ]
    for each in said:
        log.append(each)
    assert len(log.compressed()) > SPOOL_BYTES
    log.close()
    assert [each async for each in log.follow()] == said
    assert list(read_compressed(log.compressed())) == said
    assert list(read_compressed(log.compressed(), after=100)) == said[101:]
