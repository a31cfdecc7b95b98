"""Cells that attack through numpy, pandas and what comes with them."""

from __future__ import annotations

from typing import Final

from tests.runtime.sandbox.attacks.attack import CRASHED, ERROR, OK, TIMEOUT, Attack

SCIENTIFIC: Final = (
    Attack("27 array bomb", "np.ones(4 * 10 ** 8, dtype=np.int8)", (ERROR,), error="MemoryError", timeout=20),
    Attack(
        "27 bomb of many arrays",
        """
held = []
while True: held.append(np.ones(10 ** 6))
""",
        (ERROR,),
        error="MemoryError",
        timeout=20,
    ),
    Attack("27 bomb by an outer product", "np.outer(np.ones(10 ** 5), np.ones(10 ** 5))", (ERROR,), timeout=20),
    Attack("27 bomb of a frame", "pd.DataFrame(np.ones((10 ** 6, 20))) + 1", (ERROR,), error="MemoryError", timeout=20),
    Attack(
        "27 bomb of a merge",
        "f = pd.DataFrame({'k': np.zeros(50_000, dtype=int)}); f.merge(f, on='k')",
        (ERROR, TIMEOUT),
        timeout=20,
    ),
    Attack(
        "27 matrix product without end",
        """
a = np.ones((1500, 1500))
while True: a = a @ a
""",
        (TIMEOUT,),
    ),
    Attack("27 eigenvalues without end", "while True: np.linalg.eigvals(np.random.rand(300, 300))", (TIMEOUT,)),
    Attack("27 memmap of a file of the host", "np.memmap('/etc/passwd', mode='r')", (ERROR,)),
    Attack("27 memmap beyond the memory", "np.memmap('/tmp/m', mode='w+', shape=10 ** 9)", (ERROR,), timeout=20),
    Attack("27 fromfile of a file of the host", "np.fromfile('/proc/self/maps', dtype=np.int8)", (ERROR,)),
    Attack("27 pickle that runs a program", "import pickle; pickle.loads(b\"cos\\nsystem\\n(S'id'\\ntR.\")", (ERROR,)),
    Attack(
        "27 pickle that exits, through numpy",
        """
import io
class P:
    def __reduce__(self): return os._exit, (0,)
f = io.BytesIO()
np.save(f, np.array([P()], dtype=object))
f.seek(0)
np.load(f, allow_pickle=True)
""",
        (CRASHED,),
    ),
    Attack(
        "27 pickle bomb",
        "import pickle; pickle.loads(b'\\x80\\x04' + b']' + b'(' * 10 ** 6 + b'.')",
        (ERROR, CRASHED),
        timeout=20,
    ),
    Attack("27 table from the network", "pd.read_csv('http://192.0.2.1/a.csv')", (ERROR,), timeout=20),
    Attack("27 table from the network, encrypted", "pd.read_csv('https://192.0.2.1/a.csv')", (ERROR,), timeout=20),
    Attack("27 table from a file of the host", "pd.read_csv('/etc/passwd')", (ERROR,)),
    Attack("27 page from the network", "pd.read_html('http://192.0.2.1/')", (ERROR,), timeout=20),
    Attack("27 hostile expression", 'pd.eval(\'__import__("os").system("id")\')', (ERROR,)),
    Attack(
        "27 deep regular expression in a column",
        "pd.Series(['a' * 50 + 'b']).str.match(r'(a+)+$')",
        (TIMEOUT,),
    ),
    Attack(
        "27 XML that expands itself",
        """
from lxml import etree
entities = ''.join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
etree.fromstring(f'<!DOCTYPE a [<!ENTITY e0 "x">{entities}]><a>&e12;</a>')
""",
        (ERROR, OK, TIMEOUT, CRASHED),
        timeout=5,
    ),
    Attack(
        "27 XML that reads a file of the host",
        """
from lxml import etree
x = etree.fromstring('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>')
assert not x.text
""",
        (ERROR, OK),
        timeout=20,
    ),
    Attack(
        "27 array that names memory which is not its own",
        "np.lib.stride_tricks.as_strided(np.zeros(1), shape=(10 ** 9 // 8,), strides=(8,)).sum()",
        (CRASHED, ERROR, OK),
        timeout=20,
    ),
    Attack(
        "27 array over all addresses, written",
        """
a = np.lib.stride_tricks.as_strided(np.zeros(1, dtype=np.int8), shape=(2 ** 31 - 1,), strides=(1,), writeable=True)
a[:] = 1
""",
        (CRASHED, ERROR, TIMEOUT),
        timeout=20,
    ),
    Attack(
        "27 figure that is too large",
        "import matplotlib.pyplot as plt; plt.figure(figsize=(10 ** 4, 10 ** 4))",
        (ERROR,),
        timeout=20,
    ),
    Attack(
        "27 array with a hostile repr in locals",
        """
class H:
    def __repr__(self): raise SystemExit
h = np.array([H()] * 10, dtype=object)
f = pd.DataFrame({'h': [H()]})
""",
        (OK,),
        timeout=20,
    ),
    Attack(
        "27 SQLite without end",
        """
import sqlite3
c = sqlite3.connect(':memory:')
c.execute('with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n').fetchall()
""",
        (TIMEOUT,),
    ),
    Attack(
        "27 SQLite extension",
        "import sqlite3; sqlite3.connect(':memory:').load_extension('/tmp/x')",
        (ERROR,),
    ),
)
