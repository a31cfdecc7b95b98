"""Capacity of a pool: the operator counts as the sandbox server itself does."""

from __future__ import annotations

import pytest

from rlm_operator.capacity import build_capacity, sessions_per_pod, spares_per_pod
from rlm_operator.resource import Manifest
from rlm_operator.spec.base import Quantity
from runtime.sandbox.guest_image import default_folder
from runtime.sandbox.images import image_called
from runtime.sandbox.memory_meter import CONTAINER_SHARE
from runtime.sandbox.settings import BASE_MEMORY, SPARE_SHARE, SandboxSettings
from tests.operator.specs import build_pool


@pytest.mark.parametrize("image", ["stdlib", "scientific", "pyodide"])
@pytest.mark.parametrize("memory", ["512Mi", "1Gi", "6Gi"])
def test_a_pod_has_room_for_as_many_sessions_as_the_servers_numbers_give(image: str, memory: str) -> None:
    guest = image_called(image, [default_folder()])
    fitting = (int(int(Quantity(memory).value) * CONTAINER_SHARE) - BASE_MEMORY) // guest.session_memory
    spares = 8 if guest.shared else min(8, max(1, fitting // SPARE_SHARE))
    spec = build_pool(image=image, resources={"limits": {"memory": memory}}).spec
    assert spares_per_pod(spec) == spares
    assert sessions_per_pod(spec) == max(1, fitting if guest.shared else fitting - spares)


def test_a_written_limit_counts_here_as_in_the_server() -> None:
    spec = build_pool(limits={"maxSessions": 7}, sessions={"spares": 3}).spec
    served = SandboxSettings(max_sessions=7, spares=3)
    assert (sessions_per_pod(spec), spares_per_pod(spec)) == (served.session_cap(), served.spare_count())


@pytest.mark.parametrize(
    ("spec", "ready", "capacity"),
    [
        ({}, 0, {"sessions": 0, "spares": 0}),
        ({"limits": {"maxSessions": 10}}, 3, {"sessions": 30, "spares": 24}),
        ({"image": "my-tools", "limits": {"maxSessions": 10}}, 3, {"sessions": 30}),
        ({"image": "my-tools"}, 3, {}),
    ],
    ids=["no pods", "a written limit", "a guest of one's own with a limit", "a guest of one's own"],
)
def test_the_status_tells_what_the_ready_pods_hold_as_far_as_it_is_known(
    spec: Manifest, ready: int, capacity: Manifest
) -> None:
    assert build_capacity(build_pool(**spec).spec, ready) == capacity
