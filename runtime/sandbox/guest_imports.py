"""Gives a guest Python functions as its imports. Called by `engine` when it links one.

wasmtime-py's own way builds several objects for each argument and result of a call. That is 0.05 of the 0.35 ms of CPU
that a small cell takes in its session, and the objects' types and code lie on 60 pages that the session copies after
each fork. So this uses the C API's unchecked calls, which hand over the arguments as an array of 16-byte slots.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Mapping
from typing import Final

from wasmtime import FuncType, Linker, Trap, ValType, WasmtimeError
from wasmtime import _bindings as c_api  # the C API as it is; unchecked functions have no public wrapper

SLOTS: Final[Mapping[str, str]] = {"i": "i12x", "I": "q8x"}  # wasmtime_val_raw_t in the terms of `struct`
TYPES: Final[Mapping[str, Callable[[], ValType]]] = {"i": ValType.i32, "I": ValType.i64}
CALLBACK: Final = ctypes.CFUNCTYPE(
    ctypes.c_size_t,  # a trap, or 0
    ctypes.c_void_p,  # what was given with the function: nothing
    ctypes.c_void_p,  # the caller
    ctypes.c_void_p,  # the slots: arguments, then in their place the result
    ctypes.c_size_t,  # how many
)
FINALIZER: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class GuestImports:
    """Functions defined in a linker. Must live as long as what is instantiated with it: wasmtime calls into it."""

    def __init__(self, linker: Linker) -> None:
        self._linker = linker
        self._callbacks: list[object] = []

    def define(self, module: str, name: str, types: str, function: Callable[..., int], *, result: bool = True) -> None:
        """`types`: a letter of each parameter, `i` for i32 and `I` for i64. With `result` the function returns an i32.
        An exception in it traps the guest."""
        callback = CALLBACK(_callback(types, function, result=result))
        self._callbacks.append(callback)
        signature = FuncType([TYPES[letter]() for letter in types], [ValType.i32()] if result else [])
        in_module, named = module.encode(), name.encode()
        error = c_api.wasmtime_linker_define_func_unchecked(
            self._linker.ptr(),
            ctypes.create_string_buffer(in_module),
            len(in_module),
            ctypes.create_string_buffer(named),
            len(named),
            signature.ptr(),
            ctypes.cast(callback, c_api.wasmtime_func_unchecked_callback_t),
            None,
            FINALIZER(),
        )
        if error:
            raise WasmtimeError._from_ptr(error)  # as wasmtime's own wrappers do


def _callback(types: str, function: Callable[..., int], *, result: bool) -> Callable[[int, int, int, int], int]:
    slots = struct.Struct("<" + "".join(SLOTS[letter] for letter in types))
    unpack, length, copy, result_at = slots.unpack, slots.size, ctypes.string_at, ctypes.c_uint64.from_address

    def call(_: int, __: int, address: int, ___: int) -> int:
        try:
            returned = function(*unpack(copy(address, length)))
            if result:
                result_at(address).value = returned
        except BaseException as error:  # noqa: BLE001 # there is nobody above but wasmtime
            trap = Trap(f"the host failed: {type(error).__name__}: {error}")._consume()  # it is wasmtime's now
            return ctypes.cast(trap, ctypes.c_void_p).value or 0
        return 0

    return call
