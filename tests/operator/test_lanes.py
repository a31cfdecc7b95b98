"""Requests in lanes: a few at once, results in order, and every one is tried."""

from __future__ import annotations

import asyncio

import pytest

from rlm_operator.lanes import LANES, each_in_lanes


async def test_results_come_in_the_order_of_the_items_and_a_few_run_at_once() -> None:
    running, most = 0, 0

    async def action(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (10 - item))
        running -= 1
        return item * item

    assert await each_in_lanes(range(10), action) == [item * item for item in range(10)]
    assert most == LANES


async def test_all_are_tried_before_the_first_error_is_raised() -> None:
    tried: list[int] = []

    async def action(item: int) -> None:
        await asyncio.sleep(0)
        tried.append(item)
        if item in (1, 3):
            raise ValueError(item)

    with pytest.raises(ValueError, match=r"^1$"):
        await each_in_lanes([0, 1, 2, 3, 4], action)
    assert sorted(tried) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("items", [[], [7]])
async def test_nothing_and_one_are_no_special_case_for_the_caller(items: list[int]) -> None:
    async def action(item: int) -> int:
        return item

    assert await each_in_lanes(items, action) == items
