"""Objects in few bytes."""

from __future__ import annotations

import json

import pytest

from rlm_operator.packed import pack, unpack
from rlm_operator.resource import Manifest


@pytest.mark.parametrize("length", [0, 10, 1_000, 100_000], ids=str)
def test_what_was_packed_is_unpacked_anew_each_time_and_takes_no_more_than_its_json(length: int) -> None:
    manifest: Manifest = {"kind": "ConfigMap", "data": {"größe": "x\u0000\n" * length, "none": None}}
    packed = pack(manifest)
    assert unpack(packed) == manifest
    unpack(packed).clear()
    assert unpack(packed) == manifest
    assert len(packed) <= len(json.dumps(manifest, separators=(",", ":")))


def test_a_long_object_is_deflated() -> None:
    assert len(pack({"spec": ["the same again"] * 1000})) < 1000
