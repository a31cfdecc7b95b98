"""Python functions as a module's imports: what they are given, what the module gets back, and how they may fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from wasmtime import Engine, Func, Instance, Linker, Module, Store, WasmtimeError

from runtime.sandbox.guest_imports import GuestImports

MODULE = """
(module
  (import "host" "mixed" (func $mixed (param i32 i64 i32) (result i32)))
  (import "host" "nothing" (func $nothing (result i32)))
  (import "host" "silent" (func $silent (param i32)))
  (func (export "mixed") (result i64)
    (i64.extend_i32_u (call $mixed (i32.const -1) (i64.const -0x8000000000000000) (i32.const 0x7fffffff))))
  (func (export "nothing") (result i32) (call $nothing))
  (func (export "silent") (result i32) (call $silent (i32.const 5)) (i32.const 6)))
"""


class Guest:
    def __init__(self, mixed: Callable[..., int], nothing: Callable[..., int]) -> None:
        self.told: list[int] = []
        engine = Engine()
        linker = Linker(engine)
        self._imports = GuestImports(linker)
        self._imports.define("host", "mixed", "iIi", mixed)
        self._imports.define("host", "nothing", "", nothing)
        self._imports.define("host", "silent", "i", self._silent, result=False)
        self._store = Store(engine)
        self._instance: Instance = linker.instantiate(self._store, Module(engine, MODULE))

    def _silent(self, value: int) -> int:
        self.told.append(value)
        return 99

    def call(self, name: str) -> int:
        function = self._instance.exports(self._store)[name]
        assert isinstance(function, Func)
        return int(function(self._store))


def test_arguments_come_signed_and_in_order_and_the_result_goes_back_as_32_bits() -> None:
    seen: list[tuple[int, ...]] = []

    def mixed(*arguments: int) -> int:
        seen.append(arguments)
        return 0xFFFFFFFE

    guest = Guest(mixed, lambda: 7)
    assert guest.call("mixed") == 0xFFFFFFFE
    assert seen == [(-1, -(1 << 63), 0x7FFFFFFF)]
    assert guest.call("nothing") == 7


def test_a_function_without_a_result_changes_nothing_on_the_stack() -> None:
    guest = Guest(lambda *_: 0, lambda: 0)
    assert guest.call("silent") == 6
    assert guest.told == [5]


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError("no"), SystemExit("no")], ids=repr)
def test_an_exception_traps_the_guest_and_says_which(error: BaseException) -> None:
    def fails() -> int:
        raise error

    guest = Guest(lambda *_: 0, fails)
    with pytest.raises(WasmtimeError, match=f"the host failed: {type(error).__name__}: no"):
        guest.call("nothing")
    assert guest.call("silent") == 6
