"""The WASI calls about the process itself: arguments, environment, clocks, sleep, randomness, exit."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable

from runtime.sandbox.errno import Errno
from runtime.sandbox.linear_memory import U32, LinearMemory

CLOCK_REALTIME, CLOCK_MONOTONIC = 0, 1
CLOCK_RESOLUTION_NS = 1000
SUBSCRIPTION_SIZE, EVENT_SIZE = 48, 32
LONGEST_SLEEP = 3600.0


class SystemCalls:
    """`on_exit` is called for proc_exit and must not return."""

    def __init__(
        self, memory: LinearMemory, arguments: list[str], environment: dict[str, str], on_exit: Callable[[int], None]
    ) -> None:
        self._memory = memory
        self._arguments = [argument.encode() + b"\0" for argument in arguments]
        self._environment = [f"{name}={value}".encode() + b"\0" for name, value in environment.items()]
        self._on_exit = on_exit
        self._has_fixed_hashes = "PYTHONHASHSEED" in environment

    def args_get(self, pointers: int, buffer: int) -> int:
        return self._write_strings(self._arguments, pointers, buffer)

    def args_sizes_get(self, count: int, size: int) -> int:
        return self._write_sizes(self._arguments, count, size)

    def environ_get(self, pointers: int, buffer: int) -> int:
        return self._write_strings(self._environment, pointers, buffer)

    def environ_sizes_get(self, count: int, size: int) -> int:
        return self._write_sizes(self._environment, count, size)

    def proc_exit(self, code: int) -> None:
        self._on_exit(code)

    def sched_yield(self) -> int:
        return Errno.SUCCESS

    def random_get(self, buffer: int, length: int) -> int:
        """An isolated interpreter does not read PYTHONHASHSEED. Its first random bytes are its hash secret."""
        if self._has_fixed_hashes:
            self._has_fixed_hashes = False
            self._memory.write(buffer, bytes(length))
            return Errno.SUCCESS
        view = self._memory.view(buffer, length)
        for start in range(0, len(view), 1 << 20):
            part = view[start : start + (1 << 20)]
            part[:] = os.urandom(len(part))
        return Errno.SUCCESS

    def _write_strings(self, strings: list[bytes], pointers: int, buffer: int) -> int:
        for string in strings:
            self._memory.write_u32(pointers, buffer)
            self._memory.write(buffer, string)
            pointers += 4
            buffer += len(string)
        return Errno.SUCCESS

    def _write_sizes(self, strings: list[bytes], count: int, size: int) -> int:
        self._memory.write_u32(count, len(strings))
        self._memory.write_u32(size, sum(map(len, strings)))
        return Errno.SUCCESS

    def clock_res_get(self, _clock: int, result: int) -> int:
        self._memory.write_u64(result, CLOCK_RESOLUTION_NS)
        return Errno.SUCCESS

    def clock_time_get(self, clock: int, _precision: int, result: int) -> int:
        self._memory.write_u64(result, _now_ns(clock))
        return Errno.SUCCESS

    def poll_oneoff(self, subscriptions: int, events: int, count: int, result: int) -> int:
        """Sleeps for the nearest clock; descriptors are always ready."""
        ready: list[bytes] = []
        nearest: tuple[int, int] | None = None
        for index in range(count & U32):
            raw = self._memory.read(subscriptions + SUBSCRIPTION_SIZE * index, SUBSCRIPTION_SIZE)
            userdata, tag = struct.unpack_from("<QB", raw)
            if tag != 0:
                ready.append(struct.pack("<QHB5xQH6x", userdata, 0, tag, 1, 0))
                continue
            clock, timeout, _precision, flags = struct.unpack_from("<I4xQQH", raw, 16)
            wait_ns = max(timeout - _now_ns(clock), 0) if flags & 1 else timeout
            if nearest is None or wait_ns < nearest[0]:
                nearest = (wait_ns, userdata)
        if not ready:
            if nearest is None:
                return Errno.INVAL
            time.sleep(min(nearest[0] / 1e9, LONGEST_SLEEP))
            ready.append(struct.pack("<QHB5xQH6x", nearest[1], 0, 0, 0, 0))
        for index, event in enumerate(ready):
            self._memory.write(events + EVENT_SIZE * index, event)
        self._memory.write_u32(result, len(ready))
        return Errno.SUCCESS


def _now_ns(clock: int) -> int:
    if clock == CLOCK_REALTIME:
        return time.time_ns()
    return time.monotonic_ns() if clock == CLOCK_MONOTONIC else time.process_time_ns()
