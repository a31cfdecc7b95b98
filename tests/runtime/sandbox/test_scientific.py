"""The scientific guest: every package it lists does real work, and what holds for any session holds with numpy."""

from __future__ import annotations

import ast
import base64
import json
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from runtime.sandbox.guest_image import SCIENTIFIC
from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.server import SandboxServer, run_server

# Code whose last line is the value -> its repr.
USES: Final[dict[str, tuple[str, str]]] = {
    "numpy": ("import numpy as np\nint(np.arange(6).reshape(2, 3).dot(np.ones(3)).sum())", "15"),
    "numpy.linalg": ("import numpy as np\nnp.linalg.solve([[2., 0.], [0., 4.]], [2., 8.]).tolist()", "[1.0, 2.0]"),
    "pandas": (
        "import pandas as pd\npd.DataFrame({'k': list('aba'), 'v': [1, 2, 3]}).groupby('k').v.sum().to_dict()",
        "{'a': 4, 'b': 2}",
    ),
    "pandas csv": ("import io, pandas as pd\nint(pd.read_csv(io.StringIO('a,b\\n1,2\\n3,4')).b.sum())", "6"),
    "scipy": (
        (
            "from scipy import optimize, stats\n"
            "round(optimize.brentq(lambda x: x * x - 2, 0, 2), 6), round(float(stats.norm.cdf(1.96)), 3)"
        ),
        "(1.414214, 0.975)",
    ),
    "sklearn": (
        (
            "from sklearn.linear_model import LinearRegression\n"
            "round(float(LinearRegression().fit([[0], [1], [2]], [1, 3, 5]).predict([[10]])[0]), 6)"
        ),
        "21.0",
    ),
    "statsmodels": (
        (
            "import numpy as np, statsmodels.api as sm\n"
            "x = np.arange(5.)\n[round(float(p), 6) for p in sm.OLS(2 * x + 1, sm.add_constant(x)).fit().params]"
        ),
        "[1.0, 2.0]",
    ),
    "sympy": ("import sympy\nx = sympy.Symbol('x')\nstr(sympy.integrate(2 * x, x))", "'x**2'"),
    "networkx": (
        "import networkx as nx\nnx.shortest_path(nx.path_graph(4), 0, 3)",
        "[0, 1, 2, 3]",
    ),
    "lxml": ("from lxml import etree\netree.fromstring('<a><b>t</b></a>').xpath('//b/text()')[0]", "'t'"),
    "bs4": ("from bs4 import BeautifulSoup\nBeautifulSoup('<p>one<p>two', 'lxml').find_all('p')[1].text", "'two'"),
    "openpyxl": (
        (
            "import openpyxl\nw = openpyxl.Workbook()\nw.active['A1'] = 42\nw.save('/tmp/w.xlsx')\n"
            "openpyxl.load_workbook('/tmp/w.xlsx').active['A1'].value"
        ),
        "42",
    ),
    "pypdf": (
        (
            "import io, pypdf\nw = pypdf.PdfWriter()\nw.add_blank_page(72, 72)\nf = io.BytesIO()\nw.write(f)\n"
            "len(pypdf.PdfReader(f).pages)"
        ),
        "1",
    ),
    "yaml": ("import yaml\nyaml.safe_load('a: [1, 2]')", "{'a': [1, 2]}"),
    "regex": ("import regex\nregex.findall(r'\\p{Lu}', 'aBcÉ')", "['B', 'É']"),
    "sqlite3": (
        (
            "import pandas as pd, sqlite3\nc = sqlite3.connect(':memory:')\n"
            "pd.DataFrame({'a': [1, 2]}).to_sql('t', c) and c.execute('select sum(a) from t').fetchone()"
        ),
        "(3,)",
    ),
    "PIL": ("from PIL import Image\nImage.new('RGB', (4, 2)).resize((8, 4)).size", "(8, 4)"),
    "dateutil": ("import dateutil.parser\ndateutil.parser.parse('3 May 2026').isoformat()", "'2026-05-03T00:00:00'"),
    "time zones": ("import pandas as pd\nstr(pd.Timestamp('2026-01-01', tz='Europe/Berlin').utcoffset())", "'1:00:00'"),
}
IMPORT_ALL: Final = """
import importlib
failed = {}
for name in %r:
    try:
        importlib.import_module(name)
    except BaseException as problem:
        failed[name] = repr(problem)
failed
"""
DRAW: Final = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.title('t')"


@pytest.fixture(scope="module")
def scientific() -> Iterator[SandboxServer]:
    with run_server(image=SCIENTIFIC.name) as running:
        yield running


@pytest.fixture
async def client(scientific: SandboxServer) -> AsyncIterator[SandboxClient]:
    """Of the scientific server, in this file."""
    async with connect(scientific) as connected:
        yield connected


async def test_every_listed_package_imports_within_the_default_memory(client: SandboxClient) -> None:
    created = await client.create()
    assert (created.image, created.capabilities.packages) == ("scientific", list(SCIENTIFIC.packages))
    reply = await client.execute(IMPORT_ALL % (created.capabilities.packages,), created.session_id)
    assert (reply.result, reply.stderr) == ("{}", "")


@pytest.mark.parametrize(("code", "expected"), USES.values(), ids=USES.keys())
async def test_a_package_does_real_work(client: SandboxClient, code: str, expected: str) -> None:
    reply = await client.execute(code)
    assert (reply.result, reply.error) == (expected, None)


async def test_numpy_and_pandas_are_imported_before_the_first_cell(client: SandboxClient) -> None:
    code = "import sys, time\nt = time.perf_counter()\nimport numpy, pandas\ntime.perf_counter() - t < 0.1"
    assert (await client.execute(code)).result == "True"


async def test_a_killed_cell_leaves_dataframes_arrays_and_their_views_as_they_were(client: SandboxClient) -> None:
    session = new_id()
    await client.execute(
        "import numpy as np, pandas as pd\na = np.arange(100_000.)\nview = a[::2]\nd = pd.DataFrame({'x': a})", session
    )
    reply = await client.execute("a[:] = -1\nd['x'] = 0\ndel view\nwhile True: pass", session, timeout=0.5)
    assert (reply.status, reply.rolled_back_to) == (Status.TIMEOUT, 1)
    check = "float(a.sum()), float(d.x.sum()), view.base is a, float(view[1])"
    assert (await client.execute(check, session)).result == "(4999950000.0, 4999950000.0, True, 2.0)"


NUMPY_RANDOM: Final = "import numpy as np\nfloat(np.random.rand()), float(np.random.default_rng().random())"


async def test_sessions_never_share_the_randomness_of_numpy(client: SandboxClient) -> None:
    drawn = [ast.literal_eval((await client.execute(NUMPY_RANDOM)).result or "") for _ in range(5)]
    assert len({number for pair in drawn for number in pair}) == 10


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
async def test_a_seed_fixes_numpy_random(client: SandboxClient, seed: int) -> None:
    async def numbers(number: int) -> str | None:
        session = (await client.create(seed=number)).session_id
        return (await client.execute("import numpy as np\nnp.random.rand(3).tolist()", session)).result

    assert await numbers(seed) == await numbers(seed) != await numbers(seed ^ 1)


async def test_a_small_seed_is_the_one_that_numpy_itself_would_take(client: SandboxClient) -> None:
    session = (await client.create(seed=7)).session_id
    code = "import numpy as np\nfloat(np.random.rand()) == float(np.random.RandomState(7).rand())"
    assert (await client.execute(code, session)).result == "True"


@pytest.mark.parametrize(
    ("bomb", "error"),
    [
        ("np.ones(4 * 10**8, dtype=np.int8)", "MemoryError"),
        ("np.ones(10**9)", "ValueError"),  # more than a 32-bit address space
        ("np.ones((5_000, 5_000)) @ np.ones((5_000, 5_000))", "MemoryError"),
        ("held = []\nwhile True: held.append(np.ones(10**6))", "MemoryError"),
        ("pd.DataFrame(np.ones((10**6, 20))) + 1", "MemoryError"),
        ("np.broadcast_to(np.int8(1), (10**6, 10**3)).copy()", "MemoryError"),
    ],
)
async def test_a_numpy_memory_bomb_is_an_exception_and_the_session_goes_on(
    client: SandboxClient, bomb: str, error: str
) -> None:
    session = new_id()
    await client.execute("import numpy as np, pandas as pd\nkept = np.arange(3)", session)
    reply = await client.execute(bomb, session)
    assert reply.error is not None
    assert (reply.status, reply.error.type, reply.rolled_back) == (Status.ERROR, error, False)
    assert (await client.execute("held = None\nkept.tolist()", session, create=False)).result == "[0, 1, 2]"


@pytest.mark.parametrize("path", ["http://192.0.2.1/a.csv", "https://example.com/a.csv", "/etc/passwd", "s3://b/a"])
async def test_pandas_reads_nothing_from_outside(client: SandboxClient, path: str) -> None:
    reply = await client.execute(f"import pandas as pd\npd.read_csv({path!r})", timeout=10)
    assert reply.status is Status.ERROR


async def test_a_memmap_of_a_file_is_refused_or_stays_inside(client: SandboxClient) -> None:
    code = "import numpy as np\nnp.memmap('/etc/passwd', mode='r')"
    assert (await client.execute(code)).status is Status.ERROR


async def test_a_pickle_that_calls_the_system_runs_nothing_outside(client: SandboxClient) -> None:
    code = "import pickle\npickle.loads(b\"cos\\nsystem\\n(S'id'\\ntR.\")"
    assert (await client.execute(code)).status is Status.ERROR


@pytest.mark.parametrize(
    "last", ["", "\nplt.show()", "\nfig = plt.figure()\nfig.add_subplot().plot([3, 1])\nplt.show()"]
)
async def test_figures_come_back_as_png_events_once(client: SandboxClient, last: str) -> None:
    session = new_id()
    reply = await client.execute(DRAW + last, session)
    assert (reply.status, reply.stderr) == (Status.OK, "")
    assert [event.name for event in reply.events] == ["image/png"] * (2 if "fig" in last else 1)
    png = base64.b64decode(reply.events[0].payload)
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (640, 480)
    assert (await client.execute("1", session)).events == []


async def test_a_large_frame_in_locals_is_short(client: SandboxClient) -> None:
    code = "import numpy as np, pandas as pd\nd = pd.DataFrame(np.zeros((10**5, 20)))\na = np.zeros(10**6)"
    reply = await client.execute(code, locals="values")
    assert {name: entry.type for name, entry in reply.locals.items()} == {"d": "DataFrame", "a": "ndarray"}
    assert len(json.dumps([entry.repr for entry in reply.locals.values()])) < 1_000
