"""Two operators of one installation that choose a leader: the tests of hand-overs start and stop them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.operator_process import OperatorProcess

LEASE_SECONDS: Final = int(os.environ.get("RLM_TEST_LEASE_SECONDS", "6"))
"""15, the default of the operator, for the figures in docs/reliability.md."""


class Pair:
    """Two operators; which of them leads changes."""

    def __init__(self, control_plane: ControlPlane, first: OperatorProcess, second: OperatorProcess) -> None:
        self._control_plane = control_plane
        self.both = (first, second)

    def start(self, **options: object) -> None:
        for operator in self.both:
            operator.start(lease_seconds=LEASE_SECONDS, **options)

    def stop(self) -> None:
        for operator in self.both:
            if operator.is_running:
                assert operator.stop() == 0, operator.log_text()

    def await_leader(self) -> tuple[OperatorProcess, OperatorProcess]:
        """The one that leads, and the other."""

        def find() -> tuple[OperatorProcess, OperatorProcess] | None:
            first, second = self.both
            if first.leads != second.leads:
                return (first, second) if first.leads else (second, first)
            return None

        found = eventually(find, "one leader")
        assert found is not None
        return found

    @property
    def lease(self) -> Object:
        found = self._control_plane.admin.get("lease", "rlm-operator", "rlm-system")
        assert found is not None
        return found

    def edit_lease(self, **changes: object) -> None:
        self._control_plane.admin.patch("lease", "rlm-operator", "rlm-system", {"spec": changes})


def told(operator: OperatorProcess, message: str) -> list[datetime]:
    """When the operator logged lines that begin with `message`."""
    return [
        datetime.fromisoformat(line["time"])
        for line in _lines(operator)
        if str(line.get("message", "")).startswith(message)
    ]


def _lines(operator: OperatorProcess) -> Iterator[Object]:
    for text in operator.log_text().splitlines():
        if text.startswith("{"):
            yield json.loads(text)
