"""Cells that go too deep, in Python, in C and in the compiler."""

from __future__ import annotations

from typing import Final

from tests.runtime.sandbox.attacks.attack import CRASHED, ERROR, OK, TIMEOUT, Attack

RECURSION: Final = (
    Attack(
        "10 Python recursion",
        """
def f(): f()
f()
""",
        (ERROR,),
        error="RecursionError",
        timeout=20,
    ),
    Attack(
        "10 recursion without a limit",
        """
sys.setrecursionlimit(10 ** 9)
def f(): f()
f()
""",
        (CRASHED, ERROR),
        timeout=20,
    ),
    Attack(
        "10 repr of 100k nested lists",
        """
l = []
for _ in range(100_000): l = [l]
repr(l)
""",
        (ERROR, CRASHED),
        timeout=20,
    ),
    Attack("10 json of nested lists", "json.loads('[' * 200_000)", (ERROR, CRASHED), timeout=20),
    Attack("10 nested source", "eval('(' * 100_000 + ')' * 100_000)", (ERROR, CRASHED), timeout=20),
    Attack(
        "10 deepcopy",
        """
import copy
l = []
for _ in range(100_000): l = [l]
copy.deepcopy(l)
""",
        (ERROR, CRASHED),
        timeout=20,
    ),
    Attack(
        "10 freeing a deep tuple",
        """
t = ()
for _ in range(300_000): t = (t,)
del t
""",
        (OK, CRASHED),
        timeout=20,
    ),
    Attack(
        "10 recursive __getattr__",
        """
class G:
    def __getattr__(self, n): return getattr(self, n + 'x')
G().a
""",
        (ERROR, CRASHED, TIMEOUT),
        timeout=2,
    ),
    Attack("10 regex recursion", "import re; re.compile('(' * 50_000 + ')' * 50_000)", (ERROR, CRASHED), timeout=20),
    Attack("26 deep attribute chain", "exec('a' + '.b' * 100_000)", (ERROR, CRASHED), timeout=20),
    Attack(
        "26 constant folding bomb",
        "eval('(' + '1,' * 300_000 + ')') and compile('((1,) * 4096) * 4096 * 4096', '', 'eval')",
        (OK, ERROR, CRASHED, TIMEOUT),
        timeout=5,
    ),
    Attack(
        "26 nested functions",
        "exec('\\n'.join(' ' * i + f'def f{i}():' for i in range(200)) + '\\n' + ' ' * 200 + 'pass')",
        (ERROR, CRASHED),
        timeout=5,
    ),
    Attack(
        "26 many comparisons", "exec('x = ' + ' < '.join(['1'] * 100_000))", (OK, ERROR, CRASHED, TIMEOUT), timeout=5
    ),
)
