"""Leaving out the name section of a module, which is given byte by byte."""

from __future__ import annotations

import pytest

from runtime.sandbox.wasm_sections import PREAMBLE, without_names

TYPES = b"\x01\x04\x01\x60\x00\x00"  # one type: no parameters, no results
OTHER = b"\x00\x06\x05other"
LONG_NAMES = b"\x00\x85\x01\x04name" + bytes(128)  # its length takes two bytes


@pytest.mark.parametrize("names", [b"\x00\x05\x04name", LONG_NAMES], ids=["empty", "long"])
def test_only_the_name_section_is_left_out(names: bytes) -> None:
    assert without_names(PREAMBLE + TYPES + names + OTHER) == PREAMBLE + TYPES + OTHER


def test_a_module_without_names_stays_as_it_is() -> None:
    assert without_names(PREAMBLE + OTHER + TYPES) == PREAMBLE + OTHER + TYPES


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match="not a WebAssembly module"):
        without_names(b"#!/bin/sh")
