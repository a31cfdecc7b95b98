"""Trajectory events survive the way to a client."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from runtime.inference.events import CellStarted, RunFailed, frame_event, parse_event


def test_event_comes_back_from_its_frame_as_it_was() -> None:
    event = CellStarted(run_id="r", seq=3, at=1.5, iteration=1, code="print('a\n\u2028b')\r\n")
    number, name, data, *rest = frame_event(event).decode().split("\n")
    assert number == "id: 3"
    assert name == "event: cell.started"
    assert rest == ["", ""]
    assert parse_event(data.removeprefix("data: ")) == event


def test_field_of_a_newer_server_is_ignored() -> None:
    data = '{"type": "run.failed", "run_id": "r", "seq": 0, "at": 1, "error": {"code": "c", "message": "m"}, "new": 1}'
    assert isinstance(parse_event(data), RunFailed)


def test_unknown_event_is_an_error() -> None:
    with pytest.raises(ValidationError):
        parse_event('{"type": "run.exploded", "run_id": "r", "seq": 0, "at": 1}')
