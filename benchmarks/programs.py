"""Programs whose time is guest speed: each prints a checksum, so that a system that computes something else is seen.

Plain ones use the standard library; those of PACKAGES numpy and pandas. Each takes some ten milliseconds natively.
"""

from __future__ import annotations

PLAIN: dict[str, str] = {
    "recursion": """
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
print(fib(25))
""",
    "dict and str loop": """
def main():
    counts = {}
    for i in range(90_000):
        key = "k" + str(i % 997)
        counts[key] = counts.get(key, 0) + len(key)
    return sum(counts.values())
print(main())
""",
    "json": """
import json
rows = [{"id": i, "name": "name %d" % i, "tags": ["a", "b", str(i)], "score": i / 7} for i in range(4_000)]
print(len(json.loads(json.dumps(rows))))
""",
    "regular expressions": r"""
import re
text = "On 2024-03-17 user_42@example.com paid 1,234.50 EUR; on 2025-11-02 nobody paid. " * 4_000
print(len(re.findall(r"\d{4}-\d{2}-\d{2}", text)), len(re.findall(r"[\w.]+@[\w.]+\w", text)))
""",
    "split and count": """
from collections import Counter
words = ("the quick brown fox jumps over the lazy dog and runs away from it all " * 9_000).split()
print(Counter(words).most_common(2))
""",
    "sort by key": """
def main():
    value, rows = 1, []
    for i in range(30_000):
        value = value * 1103515245 + 12345 & 0x7fffffff
        rows.append((value % 1000, str(value)))
    rows.sort(key=lambda row: (row[0], row[1]))
    return rows[7]
print(main())
""",
    "lines of a text": """
text = "2025-01-01 INFO request served in 12 ms\\n2025-01-01 ERROR request failed\\n" * 60_000
errors = [line for line in text.splitlines() if line.find("ERROR") >= 0]
print(len(errors), text.count("served"))
""",
    "float loop": """
def main():
    x, y, vx, vy = 1.0, 0.0, 0.0, 1.0
    for _ in range(120_000):
        r = (x * x + y * y) ** 1.5
        vx -= x / r * 0.001
        vy -= y / r * 0.001
        x += vx * 0.001
        y += vy * 0.001
    return round(x, 6), round(y, 6)
print(main())
""",
    "objects and methods": """
class Account:
    def __init__(self, owner, balance):
        self.owner = owner
        self.balance = balance
    def pay(self, amount):
        self.balance += amount
        return self
def main():
    accounts = [Account("o" + str(i), i) for i in range(10_000)]
    for turn in range(20):
        for account in accounts:
            account.pay(turn)
    return sum(account.balance for account in accounts)
print(main())
""",
    "comprehensions": """
def main():
    table = [[i * j % 7 for j in range(200)] for i in range(1_500)]
    return sum(sum(row) for row in table), len({cell for row in table for cell in row})
print(main())
""",
    "sha256": """
import hashlib
print(hashlib.sha256(b"0123456789abcdef" * 1_000_000).hexdigest()[:16])
""",
    "large integers": """
def main():
    a, b = 0, 1
    for _ in range(40_000):
        a, b = b, a + b
    return a % 1_000_000_007, pow(7, 123_456, 10 ** 200 + 1) % 1_000_007
print(main())
""",
    "build a string": """
def main():
    parts = []
    for i in range(60_000):
        parts.append("%d:%s;" % (i, "x" * (i % 5)))
    return len("".join(parts))
print(main())
""",
    "prime sieve": """
def main():
    n = 1_500_000
    sieve = [True] * (n + 1)
    for i in range(2, int(n ** 0.5) + 1):
        if sieve[i]:
            sieve[i * i :: i] = [False] * len(range(i * i, n + 1, i))
    return sum(sieve) - 2
print(main())
""",
}

PACKAGES: dict[str, str] = {
    "numpy elementwise": """
import numpy as np
a = np.arange(2_000_000, dtype=np.float64)
print(round(float((a * 2.5 + np.sqrt(a)).sum()), 1))
""",
    "numpy matrix product": """
import numpy as np
a = np.arange(640_000, dtype=np.float64).reshape(800, 800) % 17
print(float((a @ a).sum()))
""",
    "numpy sort and unique": """
import numpy as np
a = np.random.default_rng(7).integers(0, 1_000, 600_000)
print(len(np.unique(a)), int(np.sort(a)[123_456]))
""",
    "pandas group and sum": """
import numpy as np, pandas as pd
frame = pd.DataFrame({"key": np.arange(1_000_000) % 100, "value": np.arange(1_000_000) * 0.5})
print(float(frame.groupby("key")["value"].sum().iloc[7]))
""",
    "pandas merge": """
import numpy as np, pandas as pd
left = pd.DataFrame({"key": np.arange(250_000), "a": np.arange(250_000)})
right = pd.DataFrame({"key": np.arange(0, 250_000, 2), "b": 1})
print(len(left.merge(right, on="key")))
""",
    "pandas read_csv": """
import io, pandas as pd
text = "id,name,score\\n" + "".join(f"{i},name {i % 100},{i / 4}\\n" for i in range(20_000))
frame = pd.read_csv(io.StringIO(text))
print(len(frame), round(float(frame["score"].mean()), 2))
""",
    "pandas strings": """
import pandas as pd
names = pd.Series(["Name %d of many" % i for i in range(20_000)])
print(int(names.str.lower().str.contains("99").sum()))
""",
}
