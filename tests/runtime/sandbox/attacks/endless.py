"""Cells that do not end: loops, huge numbers, regular expressions, sleeps."""

from __future__ import annotations

from typing import Final

from tests.runtime.sandbox.attacks.attack import CRASHED, ERROR, OK, TIMEOUT, Attack

ENDLESS: Final = (
    Attack("1 endless loop", "while True: pass", (TIMEOUT,)),
    Attack(
        "1 loop that catches all",
        """
while True:
    try:
        while True: pass
    except BaseException: pass
""",
        (TIMEOUT,),
    ),
    Attack(
        "1 loop in __del__",
        """
class D:
    def __del__(self):
        while True: pass
d = D()
del d
""",
        (TIMEOUT, OK),
    ),
    Attack(
        "1 loop in a finally",
        """
try: 1 / 0
finally:
    while True: pass
""",
        (TIMEOUT,),
    ),
    Attack(
        "1 loop in atexit",
        """
import atexit
@atexit.register
def f():
    while True: pass
sys.exit()
""",
        (ERROR, TIMEOUT),
    ),
    Attack(
        "1 loop in after_cell",
        """
import sandbox
@sandbox.after_cell
def f():
    while True: pass
""",
        (TIMEOUT,),
    ),
    Attack(
        "1 loop in a trace function",
        """
def t(*a):
    while True: pass
sys.settrace(t)
(lambda: 1)()
""",
        (TIMEOUT,),
    ),
    Attack(
        "1 loop in a hostile exception",
        """
class E(Exception):
    def __str__(self):
        while True: pass
raise E
""",
        (TIMEOUT,),
    ),
    Attack(
        "1 loop in the finaliser of an asynchronous generator",
        """
import asyncio
async def g():
    try: yield 1
    finally:
        while True: pass
a = g()
async def m(): await a.__anext__()
asyncio.run(m())
""",
        (TIMEOUT,),
    ),
    Attack(
        "1 generator that refuses to end",
        """
def g():
    while True:
        try: yield
        except GeneratorExit: pass
x = g()
next(x)
del x
""",
        (OK, ERROR),
    ),
    Attack("2 huge power", "10 ** 10 ** 9", (TIMEOUT, ERROR)),
    Attack("2 int from a long string", "int('9' * 5_000_000)", (ERROR,), error="ValueError"),
    Attack("2 string from a long int", "str(1 << 50_000_000)", (ERROR,), error="ValueError"),
    Attack(
        "2 string bomb without the limit",
        """
sys.set_int_max_str_digits(0)
str(1 << 50_000_000)
""",
        (TIMEOUT,),
    ),
    Attack("2 factorial", "import math; math.factorial(10 ** 7)", (TIMEOUT,)),
    Attack("3 catastrophic regex", "import re; re.match(r'(a+)+$', 'a' * 50 + 'b')", (TIMEOUT,)),
    Attack("4 long C loop", "sum(range(10 ** 12))", (TIMEOUT,)),
    Attack(
        "4 endless C iterator", "import itertools, collections; collections.deque(itertools.count(), 0)", (TIMEOUT,)
    ),
    Attack("5 sleep", "import time; time.sleep(60)", (TIMEOUT,)),
    Attack("5 sleep of a year", "import time; time.sleep(10 ** 8)", (TIMEOUT,)),
    Attack("5 select", "import select; select.select([], [], [], 60)", (TIMEOUT, ERROR)),
    Attack("5 asyncio sleep", "import asyncio; asyncio.run(asyncio.sleep(60))", (TIMEOUT,)),
    Attack(
        "5 wait for a lock",
        "import threading; l = threading.Lock(); l.acquire(); l.acquire()",
        (TIMEOUT, ERROR, CRASHED),
    ),
)
