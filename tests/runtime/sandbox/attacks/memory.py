"""Cells that ask for more memory, files or descriptors than there are."""

from __future__ import annotations

from typing import Final

from tests.runtime.sandbox.attacks.attack import ERROR, TIMEOUT, Attack

MEMORY: Final = (
    Attack(
        "6 growing list",
        """
l = []
while True: l.append(bytes(10 ** 6))
""",
        (ERROR,),
        error="MemoryError",
        timeout=20,
    ),
    Attack(
        "6 bomb that catches MemoryError",
        """
l = []
while True:
    try: l.append(bytes(10 ** 6))
    except MemoryError: pass
""",
        (TIMEOUT,),
        timeout=2,
    ),
    Attack(
        "6 doubling string",
        """
s = 'x'
while True: s += s
""",
        (ERROR,),
        error="MemoryError",
        timeout=20,
    ),
    Attack("7 single huge string", "'x' * 400_000_000", (ERROR,), error="MemoryError", timeout=20),
    Attack("7 beyond the address space", "bytearray(2 ** 40)", (ERROR,)),
    Attack("7 huge range list", "list(range(10 ** 9))", (ERROR,), error="MemoryError", timeout=20),
    Attack(
        "8 zlib bomb",
        """
import zlib; zlib.decompress(zlib.compress(bytes(50_000_000), 9) * 1)
b = zlib.compress(bytes(150_000_000), 9)
zlib.decompress(b), zlib.decompress(b)
""",
        (ERROR,),
        error="MemoryError",
        timeout=20,
    ),
    Attack("8 urandom of a gigabyte", "os.urandom(10 ** 9)", (ERROR,), timeout=20),
    Attack(
        "8 files beyond the capacity",
        """
f = open('/tmp/big', 'wb')
while True: f.write(bytes(10 ** 6))
""",
        (ERROR,),
        error="OSError",
        timeout=20,
    ),
    Attack(
        "8 unlinked files held open",
        """
held = []
for i in range(200):
    f = open(f'/tmp/{i}', 'wb', 0)
    held.append(f)
    os.unlink(f'/tmp/{i}')
    f.write(bytes(10 ** 6))
""",
        (ERROR,),
        error="OSError",
        timeout=20,
    ),
    Attack("8 very many files", "for i in range(10 ** 6): open(f'/tmp/{i}', 'w').close()", (ERROR, TIMEOUT), timeout=3),
    Attack("8 name of 60 MB", "open('/tmp/' + 'x' * 60_000_000, 'w')", (ERROR,), error="OSError", timeout=20),
    Attack(
        "8 many long names",
        "for i in range(10 ** 6): open('/tmp/' + str(i) + 'x' * 1_000_000, 'w')",
        (ERROR,),
        error="OSError",
        timeout=20,
    ),
    Attack("8 very many descriptors", "held = [open('/tmp/a', 'w') for _ in range(1000)]", (ERROR,), error="OSError"),
)
