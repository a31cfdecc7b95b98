"""Raw output is kept within its cap, and each take begins anew."""

from __future__ import annotations

from runtime.sandbox.output_capture import OutputCapture


def test_room_shrinks_with_what_is_added_and_comes_back_with_take() -> None:
    capture = OutputCapture(10)
    capture.add(b"1234")
    capture.add(b"56")
    assert capture.room() == 4
    assert capture.take() == b"123456"
    assert (capture.room(), capture.take()) == (10, b"")
