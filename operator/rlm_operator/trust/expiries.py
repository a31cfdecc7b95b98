"""When certificates end, for the metric of the soonest."""

from __future__ import annotations

import math
from datetime import datetime

from rlm_operator.kinds import Ref


class Expiries:
    """One moment per custom resource."""

    def __init__(self) -> None:
        self._ends: dict[Ref, float] = {}

    def note(self, resource: Ref, end: datetime | None) -> None:
        """None: it has no certificate."""
        if end is None:
            self._ends.pop(resource, None)
        else:
            self._ends[resource] = end.timestamp()

    def soonest(self) -> float:
        """Unix time; NaN without any certificate."""
        return min(self._ends.values(), default=math.nan)
