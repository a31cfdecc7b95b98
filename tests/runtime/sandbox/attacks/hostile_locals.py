"""Cells that leave objects behind which attack whoever looks at them."""

from __future__ import annotations

from typing import Final

from tests.runtime.sandbox.attacks.attack import ERROR, OK, TIMEOUT, Attack

HOSTILE_LOCALS: Final = (
    Attack(
        "13 raising __repr__",
        """
class H:
    def __repr__(self): raise ValueError
h = H()
""",
        (OK,),
    ),
    Attack(
        "13 __repr__ raising SystemExit",
        """
class H:
    def __repr__(self): raise SystemExit
h = H()
""",
        (OK,),
    ),
    Attack(
        "13 looping __repr__",
        """
class H:
    def __repr__(self):
        while True: pass
h = H()
""",
        (TIMEOUT,),
    ),
    Attack(
        "13 huge __repr__",
        """
class H:
    def __repr__(self): return 'x' * 10_000_000
h = H()
""",
        (OK,),
        timeout=20,
    ),
    Attack(
        "13 __repr__ of a str subclass",
        """
class S(str):
    def __len__(self): return -1
    def __getitem__(self, i): return 5
    def encode(self, *a): return b'{}'
class H:
    def __repr__(self): return S('s')
h = H()
h
""",
        (OK,),
    ),
    Attack(
        "13 __repr__ that is no str",
        """
class H:
    def __repr__(self): return 5
h = H()
""",
        (OK,),
    ),
    Attack(
        "13 hostile __class__",
        """
class H:
    @property
    def __class__(self): raise SystemExit
h = H()
""",
        (OK,),
    ),
    Attack(
        "13 hostile __getattribute__",
        """
class H:
    def __getattribute__(self, n): raise KeyboardInterrupt
h = H()
""",
        (OK,),
    ),
    Attack(
        "13 hostile metaclass",
        """
class M(type):
    __name__ = property(lambda c: 1 / 0)
    def __subclasscheck__(c, d): raise SystemExit
    def __eq__(c, d): raise SystemExit
    __hash__ = None
class H(metaclass=M): pass
h = H()
""",
        (OK,),
    ),
    Attack(
        "13 lying __len__",
        """
class L(list):
    def __len__(self): return 10 ** 18
    def __iter__(self):
        while True: yield self
h = L()
""",
        (OK, TIMEOUT),
    ),
    Attack(
        "13 hostile dict subclass",
        """
class D(dict):
    def items(self): raise SystemExit
    def keys(self): raise SystemExit
    def __iter__(self): raise SystemExit
h = D(a=1)
""",
        (OK,),
        locals="values",
    ),
    Attack(
        "13 hostile exception",
        """
class E(Exception):
    def __str__(self): raise SystemExit
    __repr__ = __str__
raise E
""",
        (ERROR,),
        error="E",
    ),
    Attack(
        "13 exception with a forged line",
        "e = SyntaxError('m'); e.filename = '<cell 2>'; e.lineno = 'x' * 1000; raise e",
        (ERROR,),
        error="SyntaxError",
    ),
    Attack("14 list that contains itself", "h = []; h.append(h); g = {}; g['g'] = g", (OK,), locals="values"),
    Attack(
        "14 a hundred thousand names",
        "globals().update({f'n{i}': i for i in range(100_000)})",
        (OK,),
        locals="values",
        timeout=20,
    ),
    Attack("14 a name of a megabyte", "globals()['n' * 10 ** 6] = 1", (OK,), locals="values"),
    Attack(
        "14 names that are no names", "globals()[5] = 1; globals()['a b\\n\\ud800'] = 2; globals()[(1,)] = 3", (OK,)
    ),
    Attack("14 100 MB value", "h = 'x' * 100_000_000", (OK,), locals="values", timeout=20),
    Attack(
        "14 shared bomb",
        """
h = []
for _ in range(40): h = [h, h]
""",
        (OK,),
        locals="values",
    ),
    Attack(
        "14 NaN bytes keys", "h = float('nan'); g = b'x' * 100; f = {1: 2, None: 3, (1,): 4}", (OK,), locals="values"
    ),
    Attack(
        "14 nested beyond what JSON readers take",
        """
h = []
for _ in range(3000): h = [h]
""",
        (OK,),
        locals="values",
    ),
)
