"""Sending the agent into a sandbox: what it is asked, and what it finds there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import msgspec

from pytest_manylinux.engines.api import (
    Command,
    Completed,
    Engine,
    Limits,
    Mount,
    Sandbox,
    SandboxSpec,
)
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.model.distro import Image, Interpreter

VENV = PurePosixPath("/scratch/venv")
LAYOUT_FILE = "layout.json"
"""In the folder of a prepared environment: its layout."""
SMALL_FOLDER = "small"
"""In the same folder: what the layout consists of, laid out."""
_PYTHON = re.compile(r"/(?:python|pypy)(\d+\.\d+)t?/")

INPUTS = PurePosixPath("/tmp/trial")  # noqa: S108 -- inside a sandbox, where /tmp is its own
GRACE = 20.0
"""Seconds that the agent gets beyond its own time limit before the sandbox is killed."""

QUIET = ("--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar", "off")
"""What keeps pip's output to words that matter."""

OFFLINE = ("--no-index", "--no-cache-dir")
"""What keeps pip to what lies in the sandbox."""

_SEEDED = INPUTS / "seeded"
LIBRARY = INPUTS / "lib"
REQUEST = INPUTS / "request.json"
_MODULES = (
    "agent.py",
    "c_library.py",
    "processes.py",
    "rehearsal.py",
    "comparison.py",
    "import_one.py",
    "preload_pip.py",
    "launch.py",
    "examine.py",
    "run_suite.py",
    "installed_files.py",
    "install_by_uv.py",
    "suite_results.py",
    "venv_layout.py",
)
# The folder lies in one that the wheel's code may write: it is looked into before any of that has run.
_START = (
    f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); "
    f"from pytest_manylinux.trials.inside.agent import main; del sys.path[0]; main({str(REQUEST)!r})"
)
_PARALLEL = 2


class SuiteSteps(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent is to run the project's own tests (inside/run_suite.py).

    `tree` is the path of a tar archive inside the sandbox, empty without one; `sources` are paths in it
    that the working folder gets. `pip` are arguments for the venv's pip, empty if nothing is required.
    `installed` is the path of a file with what that pip would install (inside/installed_files.py), of
    which `present` are there already; empty if there is none. `before` and `script` are shell scripts;
    `timeout` is seconds for each of the two.
    """

    tree: str = ""
    sources: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    installed: str = ""
    present: tuple[str, ...] = ()
    before: str = ""
    script: str
    timeout: float


class UvSteps(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent is to install by uv (inside/install_by_uv.py): its path inside, and arguments."""

    program: str
    arguments: tuple[str, ...]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent is asked, as it reads it from a JSON file.

    `timeout` is seconds for all steps together, `parallel` how many children may run at once.
    `venv` is the layout to make, `copies` are (folder in the sandbox, path in the venv) besides,
    `seeded` the folders that the venv's own pip and the like consist of, `sites` those that hold
    .dist-info folders, of which `own` is the wheel's. `pip` are arguments for the venv's pip; if it
    fails, nothing else is done. `files` are (path in the venv, size, SHA-256 in hexadecimal) of what it
    must leave (comparison.py says what -1 and "" mean). `elf` are (installed path, its own loader or
    empty) of files for the loader to resolve, `imports` names to import, each in an interpreter of its
    own, `extensions` names of extension modules to try besides, `submodules` names of modules inside
    packages, `entry_points` object references (`module:attribute`), `programs` command lines whose
    first word is in the venv's folder of scripts. `launches` are (installed path, whether it is ELF) of
    programs to start, `libraries` installed paths of shared libraries to open, `sources` those of
    Python files to compile. `suite` are the project's own tests; they come last, and have time limits
    of their own. `uv` installs the same before pip does. `system_calls` is a filter for the kernel, in
    hexadecimal, that all of it runs under. `emulator` is a command that the interpreters which import
    are started by, where the distro's Python starts by it. `examiner` is the Python that opens
    libraries, in forks of itself; empty for the venv's. `packed` is where what pip has added is to be
    written (inside/installed_files.py); empty: nowhere.
    """

    timeout: float
    venv: tuple[VenvEntry, ...]
    sites: tuple[str, ...]
    pip: tuple[str, ...]
    seeded: tuple[str, ...] = ()
    own: str = ""
    files: tuple[tuple[str, int, str], ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    elf: tuple[tuple[str, str], ...] = ()
    imports: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()
    programs: tuple[tuple[str, ...], ...] = ()
    entry_points: tuple[str, ...] = ()
    launches: tuple[tuple[str, bool], ...] = ()
    libraries: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    suite: SuiteSteps | None = None
    uv: UvSteps | None = None
    system_calls: str = ""
    emulator: tuple[str, ...] = ()
    examiner: str = ""
    packed: str = ""
    parallel: int = _PARALLEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """A request, and the sandbox for it.

    `replaced` are distributions (normalized names) that pip may put in; if it may replace seeded
    ones, those must be writable, so they are copied then.
    """

    image: Image
    interpreter: Interpreter
    venv: PreparedVenv
    request: Request
    label: str
    mounts: tuple[Mount, ...] = ()
    replaced: Collection[str] = ()
    network: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = field(default_factory=Limits)


def make_request(venv: PreparedVenv, pip: tuple[str, ...], timeout: float) -> Request:
    """A request that only has pip run; `msgspec.structs.replace` adds to it."""
    layout = venv.layout
    sites = dict.fromkeys(str(VENV / path) for path in (layout.purelib, layout.platlib))
    return Request(
        timeout=timeout, venv=layout.entries, sites=tuple(sites), pip=pip, seeded=layout.heavy
    )


@contextlib.contextmanager
def sent(errand: Errand, engine: Engine) -> Iterator[tuple[Sandbox, Completed]]:
    """Run an errand; gives the sandbox, still open, and how the agent ended there.

    Raises the engine's errors.
    """
    caretaker = errand.interpreter.caretaker
    request = msgspec.structs.replace(errand.request, examiner=caretaker)
    mounts = errand.venv.mounts()
    if not errand.venv.layout.seeded.isdisjoint(errand.replaced):
        copies = tuple(
            (str(_SEEDED / str(n)), str(m.target.relative_to(VENV))) for n, m in enumerate(mounts)
        )
        mounts = tuple(Mount(source=m.source, target=_SEEDED / str(n)) for n, m in enumerate(mounts))
        request = msgspec.structs.replace(request, copies=copies)
    with temporary_folder() as folder:
        file = folder / REQUEST.name
        file.write_bytes(msgspec.json.encode(request))
        spec = SandboxSpec(
            image=errand.image,
            mounts=(*errand.mounts, *mounts, *library_mounts(), Mount(source=file, target=REQUEST)),
            network=errand.network,
            limits=errand.limits,
            label=errand.label,
        )
        argv = (caretaker or errand.interpreter.executable, "-I", "-S", "-B", "-c", _START)
        timeout = whole_time(request) + GRACE
        command = Command(argv=argv, environment=errand.environment, timeout=timeout)
        with engine.open(spec) as sandbox:
            yield sandbox, sandbox.exec(command)


def whole_time(request: Request) -> float:
    """Seconds for all of it: installing what the tests require may take as long as a trial does."""
    suite = request.suite
    whole = request.timeout if request.uv is None else 2 * request.timeout
    return whole if suite is None else whole + request.timeout + 2 * suite.timeout


def library_mounts() -> tuple[Mount, ...]:
    """The modules that run inside, as a package in the folder LIBRARY."""
    here = Path(__file__).parent / "inside"
    inside = LIBRARY / "pytest_manylinux" / "trials" / "inside"
    return tuple(Mount(source=here / name, target=inside / name) for name in _MODULES)


class VenvEntry(msgspec.Struct, frozen=True, array_like=True):
    """A part of the layout: `folder`, `link` (content: its target) or `file` (content: base64)."""

    kind: str
    path: str
    mode: int
    content: str


class VenvLayout(msgspec.Struct, frozen=True, kw_only=True):
    """What a venv consists of, all paths relative to it.

    `heavy` are the folders kept as folders; `purelib`, `platlib`, `scripts` and `data` are what
    sysconfig says of the venv; `seeded` the distributions that venv put in, normalized names.
    """

    entries: tuple[VenvEntry, ...]
    heavy: tuple[str, ...]
    purelib: str
    platlib: str
    scripts: str
    data: str
    seeded: frozenset[str]

    @property
    def python(self) -> str:
        """The release of its Python, such as `3.14`; empty where its folders do not tell."""
        found = _PYTHON.search(self.platlib)
        return found[1] if found is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedVenv:
    """A layout, and the folder of this machine that holds its heavy folders.

    All else of the venv lies beside that folder, in `small`.
    """

    layout: VenvLayout
    folder: Path

    @property
    def record(self) -> Path:
        """The layout as a file: JSON."""
        return self.folder.parent / LAYOUT_FILE

    @property
    def small(self) -> Path:
        """The folder with all of the venv but its heavy folders, in their places."""
        return self.folder.parent / SMALL_FOLDER

    def mounts(self) -> tuple[Mount, ...]:
        """The heavy folders in their places."""
        return tuple(Mount(source=self.folder / path, target=VENV / path) for path in self.layout.heavy)
