"""CPU shares become the nice value of the same scheduler weight."""

from __future__ import annotations

import pytest

from runtime.sandbox.hardening import niceness

# Weights of the kernel's sched_prio_to_weight for nice 0 to 19.
WEIGHTS = (1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15)


@pytest.mark.parametrize(("shares", "nice"), [(1024, 0), (256, 6), (2, 19)])
def test_known_shares(shares: int, nice: int) -> None:
    assert niceness(shares) == nice


def test_the_kernels_weight_is_within_one_step_of_the_shares() -> None:
    for shares in range(15, 1025):
        assert 0.74 <= WEIGHTS[niceness(shares)] / shares <= 1.35


def test_fewer_shares_are_never_less_nice() -> None:
    values = [niceness(shares) for shares in range(1024, 1, -1)]
    assert values == sorted(values)
