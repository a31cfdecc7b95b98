"""Who holds the Lease, and until when: by each candidate's own clock, never by what is written in the record."""

from __future__ import annotations

import asyncio
import datetime

import pytest

from rlm_operator.lease import LeaseElector, LeaseTerms
from tests.operator.lease_api import Clock, LeaseApi

SECONDS = 15
FAR_FUTURE, FAR_PAST = "2099-01-01T00:00:00.000000Z", "1999-01-01T00:00:00.000000Z"


@pytest.fixture
def api() -> LeaseApi:
    return LeaseApi()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def candidate(api: LeaseApi, clock: Clock, name: str = "a", seconds: int = SECONDS) -> LeaseElector:
    return LeaseElector(api, LeaseTerms("rlm-system", name, seconds), clock)


async def acquires(elector: LeaseElector) -> bool:
    """In the first look."""
    campaign = asyncio.create_task(elector.campaign())
    for _ in range(20):
        await asyncio.sleep(0)
    campaign.cancel()
    await asyncio.gather(campaign, return_exceptions=True)
    return elector.leads


async def test_the_first_candidate_makes_the_lease_and_leads(api: LeaseApi, clock: Clock) -> None:
    assert await acquires(candidate(api, clock))
    assert api.lease is not None
    assert api.lease["spec"]["leaseDurationSeconds"] == SECONDS
    assert api.lease["spec"]["renewTime"].startswith(str(datetime.datetime.now(datetime.UTC).year))


async def test_a_second_candidate_waits(api: LeaseApi, clock: Clock) -> None:
    await acquires(candidate(api, clock))
    assert not await acquires(candidate(api, clock, "b"))
    assert api.holder == "a"


async def test_a_record_that_stood_for_its_duration_is_free_and_not_a_moment_earlier(
    api: LeaseApi, clock: Clock
) -> None:
    await acquires(candidate(api, clock))
    second = candidate(api, clock, "b")
    assert not await acquires(second)
    clock.now += SECONDS - 0.1
    assert not await acquires(second)
    clock.now += 0.1
    assert await acquires(second)
    assert api.lease is not None
    assert api.lease["spec"]["leaseTransitions"] == 1


@pytest.mark.parametrize("written", [FAR_FUTURE, FAR_PAST])
async def test_a_holder_whose_clock_is_wrong_is_judged_by_our_own(api: LeaseApi, clock: Clock, written: str) -> None:
    await acquires(candidate(api, clock))
    api.edit(renewTime=written)
    second = candidate(api, clock, "b")
    assert not await acquires(second)
    clock.now += SECONDS - 0.1
    assert not await acquires(second)
    clock.now += 0.1
    assert await acquires(second)


async def test_a_renewal_starts_the_wait_anew(api: LeaseApi, clock: Clock) -> None:
    await acquires(candidate(api, clock))
    second = candidate(api, clock, "b")
    await acquires(second)
    clock.now += SECONDS - 1
    api.edit(renewTime="2026-01-01T00:00:00.000000Z")
    await acquires(second)
    clock.now += SECONDS - 1
    assert not await acquires(second)


async def test_a_record_that_asks_for_years_is_waited_for_ten_minutes(api: LeaseApi, clock: Clock) -> None:
    await acquires(candidate(api, clock))
    api.edit(leaseDurationSeconds=10**9)
    second = candidate(api, clock, "b")
    await acquires(second)
    clock.now += 600
    assert await acquires(second)


async def test_the_holder_stops_before_the_lease_can_be_taken(api: LeaseApi, clock: Clock) -> None:
    first, second = candidate(api, clock), candidate(api, clock, "b")
    await acquires(first)
    await acquires(second)
    api.away = True
    clock.now += SECONDS * 2 / 3
    assert not first.leads
    assert "not renewed for 10 s" in await first.hold()
    api.away = False
    assert not await acquires(second)


async def test_a_released_lease_is_free_at_once(api: LeaseApi, clock: Clock) -> None:
    first, second = candidate(api, clock), candidate(api, clock, "b")
    await acquires(first)
    assert not await acquires(second)
    await first.release()
    assert not first.leads
    assert await acquires(second)
    assert api.holder == "b"


async def test_a_lease_is_released_although_the_answer_to_its_last_renewal_was_lost(
    api: LeaseApi, clock: Clock
) -> None:
    first = candidate(api, clock)
    await acquires(first)
    holding = asyncio.create_task(first.hold())
    api.loses_answers = True
    await writes(api, 1)
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    api.loses_answers = False
    await first.release()
    assert api.holder == ""


async def test_a_lease_of_somebody_else_is_not_released(api: LeaseApi, clock: Clock) -> None:
    first = candidate(api, clock)
    await acquires(first)
    api.edit(holderIdentity="b")
    await first.release()
    assert api.holder == "b"


async def test_a_holder_that_sees_another_name_stops_and_says_whose(api: LeaseApi, clock: Clock) -> None:
    first = candidate(api, clock, seconds=3)
    await acquires(first)
    api.edit(holderIdentity="b")
    assert await first.hold() == "the Lease is held by b"
    assert not first.leads


@pytest.mark.parametrize("case", ["edited by others", "deleted", "an answer was lost"])
async def test_a_holder_goes_on_when_the_lease_is_still_its_own(api: LeaseApi, clock: Clock, case: str) -> None:
    first = candidate(api, clock, seconds=3)
    await acquires(first)
    holding = asyncio.create_task(first.hold())
    if case == "edited by others":
        api.edit(renewTime=FAR_FUTURE)
    elif case == "deleted":
        api.lease = None
    else:
        api.loses_answers = True
        await writes(api, 1)
        api.loses_answers = False
    clock.now += 1.9
    await writes(api, 2)
    assert first.leads
    clock.now += 1.9
    assert first.leads
    assert api.holder == "a"
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)


async def writes(api: LeaseApi, count: int) -> None:
    """Returns after that many further renewals."""
    api.awaited = api.version + count
    api.reached.clear()
    async with asyncio.timeout(60):
        await api.reached.wait()


async def test_of_two_that_take_a_free_lease_at_once_one_leads(api: LeaseApi, clock: Clock) -> None:
    first, second = candidate(api, clock), candidate(api, clock, "b")
    await asyncio.gather(acquires(first), acquires(second))
    assert [first.leads, second.leads].count(True) == 1
