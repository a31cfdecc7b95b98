"""Cells that write more, or worse, than a reply may carry."""

from __future__ import annotations

from typing import Final

from tests.runtime.sandbox.attacks.attack import CRASHED, ERROR, OK, TIMEOUT, Attack

OUTPUT: Final = (
    Attack("9 print flood", "while True: print('x' * 1000)", (TIMEOUT,)),
    Attack("9 large print", "print('x' * 50_000_000)", (OK,), timeout=20),
    Attack("9 raw write of a megabyte", "os.write(1, b'x' * 1_000_000)", (OK,), timeout=20),
    Attack(
        "9 raw write beyond the cap",
        "os.write(1, b'x' * 50_000_000); os.write(2, b'y' * 50_000_000)",
        (OK,),
        timeout=20,
    ),
    Attack("9 raw write flood", "while True: os.write(1, b'x' * 1000)", (TIMEOUT,)),
    Attack(
        "9 control characters raw and printed",
        "os.write(1, bytes(range(256)) * 4000); print('\\0\\x1b[2J\\r' * 300_000)",
        (OK,),
        timeout=20,
    ),
    Attack("9 lone surrogates", "print('\\ud800' * 200_000, file=sys.stderr); '\\udfff'", (OK,), timeout=20),
    Attack("9 emoji up to the cap", "print('\\U0001f600' * 1_000_000)", (OK,), timeout=20),
    Attack("9 huge result", "'x' * 50_000_000", (OK,), timeout=20),
    Attack("9 huge exception", "raise ValueError('x' * 50_000_000)", (ERROR,), error="ValueError", timeout=20),
    Attack(
        "9 exception group tower",
        """
e = ValueError(1)
for _ in range(5000): e = ExceptionGroup('g', [e])
raise e
""",
        (ERROR, CRASHED),
        timeout=20,
    ),
    Attack(
        "22 event flood",
        """
import sandbox
while True: sandbox.emit('e', 'x' * 1000)
""",
        (ERROR,),
        error="ValueError",
        timeout=20,
    ),
    Attack(
        "22 events that are longer as JSON",
        """
import sandbox
for _ in range(9): sandbox.emit('e', '\\0' * (1 << 20))
""",
        (ERROR,),
        error="ValueError",
        timeout=20,
    ),
    Attack(
        "22 events without payload",
        """
import sandbox
for _ in range(200_000): sandbox.emit('e', '')
""",
        (ERROR,),
        error="ValueError",
        timeout=20,
    ),
)
