"""Look into an image once: C library, libraries, symbol versions, Pythons; and where a row differs."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.version import Version

from pytest_manylinux.cache.values import ValueCache, key_of
from pytest_manylinux.engines.api import SCRATCH, Command, Engine, Sandbox, SandboxSpec
from pytest_manylinux.errors import ImageError, ManylinuxError
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.model.distro import Distro, Image, Interpreter, Survey, SurveyedLibrary
from pytest_manylinux.model.policy import Libc, glibc, musl

# musl's loader says its version where it is started alone, with exit code 1; so does its ldd.
_LIBC = (
    "for loader in /lib/ld-musl-*.so.1; do [ ! -e $loader ] || { $loader 2>&1; exit 0; }; done; "
    "getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version"
)
_LIBRARIES = "PATH=$PATH:/sbin:/usr/sbin ldconfig -p"
# What the loader finds without its cache: the folders that glibc itself searches (ld.so(8)).
_SYSTEM_FOLDER = re.compile(r"(?:/usr)?/lib(?:64)?(?:/[a-z0-9_]+-linux-gnu\w*)?")
_FILES = 'for file in "$@"; do [ ! -f "$file" ] || echo "$file"; done'
_MUSL_FOLDERS = (
    "folders=$(cat /etc/ld-musl-{arch}.path 2>/dev/null || echo /lib:/usr/local/lib:/usr/lib); "
    "echo $folders | tr ':' '\\n' | while read folder; do "
    'for file in "$folder"/*.so "$folder"/*.so.*; do [ ! -f "$file" ] || echo "$file"; done; done'
)
_PYTHON = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
# Whose versions the catalogue has figures of.
# glibc is several files: a version of its own may be in one of them only, 2.31 in libpthread.
_MEASURED = {
    *("libc.so.6", "libm.so.6", "libpthread.so.0", "librt.so.1", "libdl.so.2"),
    *("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1", "libatomic.so.1"),
}
_MARK = "GLIBC_ABI_"
_VERSION = re.compile(r"(?P<namespace>GLIBC|GLIBCXX|CXXABI|GCC|ZLIB|LIBATOMIC)_(?P<number>\d[\d.]*)")
_ENTRY = re.compile(r"\s+(?P<soname>\S+) \((?P<flags>[^)]*)\) => (?P<path>\S+)")
_TIMEOUT = 600.0  # seconds; under an emulator on a busy machine a Python may take one to start


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePython:
    """One interpreter as it answered: full versions, empty where it did not."""

    executable: str
    version: str
    pip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """What a live image says of itself."""

    libc: Libc
    pythons: tuple[LivePython, ...]
    survey: Survey

    @property
    def maxima(self) -> dict[str, str]:
        """The highest version of each symbol namespace, as in a row's `symbols`."""
        return symbol_maxima(v for library in self.survey.libraries for v in library.versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A figure in which row and image differ."""

    figure: str
    row: str
    live: str


def survey_image(
    distro: Distro, image: Image, interpreters: Iterable[Interpreter], engine: Engine
) -> LiveFigures:
    """Look into an image: C library, its libraries and their symbol versions, Pythons and pips.

    Raises ImageError if it does not answer, SandboxError if it cannot be started.
    """
    with engine.open(SandboxSpec(image=image, label=f"survey of {distro.id}")) as sandbox:
        libc = _libc(distro, sandbox)
        listed = _libraries if libc.is_glibc() else _libraries_of_musl
        libraries = tuple(listed(sandbox, image.arch))
        pythons = tuple(_python(sandbox, entry.executable) for entry in interpreters)
    survey = Survey(distro=distro.id, image=image.digest, arch=image.arch, libraries=libraries)
    return LiveFigures(libc=libc, pythons=pythons, survey=survey)


def _libc(distro: Distro, sandbox: Sandbox) -> Libc:
    words = _ask(sandbox, "sh", "-c", _LIBC)
    if found := re.search(r"(?:\A|\n)musl libc .*\nVersion (\d+)\.(\d+)\.(\d+)", words):
        return musl(*map(int, found.groups()))
    if found := re.search(r"(\d+)\.(\d+)\s*$", words.split("\n")[0]):
        return glibc(*map(int, found.groups()))
    raise ImageError(f"{distro.id}: its C library does not say its version")


def drift(distro: Distro, live: LiveFigures) -> Iterator[Drift]:
    """Where the row differs from the image; what the image does not have is not held against it."""
    if live.libc != distro.libc:
        same = live.libc.kind is distro.libc.kind
        figure = distro.libc.kind.value if same else "C library"
        row, seen = (one.number if same else str(one) for one in (distro.libc, live.libc))
        yield Drift(figure=figure, row=row, live=seen)
    figures, arch = live.maxima, live.survey.arch
    for namespace, version in distro.symbols_on(arch).items():
        live_version = figures.get(namespace, version)
        # Marks are names: a row need not name those that came with its version of glibc.
        same = set(version.split()) <= set(live_version.split())
        if live_version != version and not (namespace == "GLIBC_ABI" and same):
            yield Drift(figure=namespace, row=version, live=figures[namespace])
    for soname in distro.absent_libraries:
        if any(library.soname == soname for library in live.survey.libraries):
            yield Drift(figure=soname, row="absent", live="present")
    yield from _python_drift(distro, live.pythons)


def symbol_maxima(versions: Iterable[str]) -> dict[str, str]:
    """The highest of each namespace among symbol versions such as `GLIBC_2.36`."""
    highest: dict[str, Version] = {}
    marks: set[str] = set()
    for text in versions:
        if text.startswith(_MARK):
            marks.add(text.removeprefix(_MARK))
        if match := _VERSION.fullmatch(text):
            number = Version(match["number"])
            known = highest.get(match["namespace"], number)
            highest[match["namespace"]] = max(number, known)
    found = {namespace: str(version) for namespace, version in highest.items()}
    return {**found, "GLIBC_ABI": " ".join(sorted(marks))} if marks else found


def defined_versions(path: Path) -> frozenset[str]:
    """The symbol versions that a shared library defines; none for a file that is no such thing."""
    from elftools.common.exceptions import ELFError  # noqa: PLC0415 - loads slowly
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415 - the same
    from elftools.elf.gnuversions import GNUVerDefSection  # noqa: PLC0415 - the same

    try:
        with path.open("rb") as file:
            sections = ELFFile(file).iter_sections()
            tables = [section for section in sections if isinstance(section, GNUVerDefSection)]
            return frozenset(
                name.name
                for table in tables
                for _, names in table.iter_versions()
                for name in list(names)[:1]
            )
    except (OSError, ELFError):
        return frozenset()


def _python_drift(distro: Distro, live: Iterable[LivePython]) -> Iterator[Drift]:
    rows: Mapping[str, Interpreter] = {entry.executable: entry for entry in distro.interpreters}
    for python in live:
        row = rows[python.executable]
        name = Path(python.executable).name
        if not python.version.startswith(f"{row.version.dotted}."):
            yield Drift(figure=name, row=row.version.dotted, live=python.version or "missing")
        if row.pip and row.pip != python.pip:
            yield Drift(figure=f"{name}'s pip", row=row.pip, live=python.pip or "missing")


def _python(sandbox: Sandbox, executable: str) -> LivePython:
    version = _ask(sandbox, executable, "-c", _PYTHON, must=False).strip()
    # A Python without pip of its own, such as Debian's PyPy, has the one that its venv module brings.
    said = (_ask(sandbox, executable, "-m", m, "--version", must=False) for m in ("pip", "ensurepip"))
    words = next(filter(None, said), "").split()
    return LivePython(executable=executable, version=version, pip=words[1] if len(words) > 1 else "")


def _libraries(sandbox: Sandbox, arch: str) -> Iterator[SurveyedLibrary]:
    listing = _ask(sandbox, "sh", "-c", _LIBRARIES)
    seen, paths = set[str](), list[str]()
    with temporary_folder() as folder:
        for match in _ENTRY.finditer(listing):
            soname, flags, path = match["soname"], match["flags"], match["path"]
            # The cache of an x86_64 system may list 32-bit libraries too, without `x86-64`.
            if soname in seen or (arch == "x86_64" and "x86-64" not in flags):
                continue
            seen.add(soname)
            paths.append(path)
            versions = _versions(sandbox, path, folder / soname) if soname in _MEASURED else None
            yield SurveyedLibrary(soname=soname, path=path, versions=versions or frozenset())
    # ldconfig lists a library by its soname; the loader finds it by other names of the file too.
    folders = {str(PurePosixPath(path).parent) for path in paths}
    for path in _named(sandbox, sorted(filter(_SYSTEM_FOLDER.fullmatch, folders))):
        if path.name not in seen:
            seen.add(path.name)
            yield SurveyedLibrary(soname=path.name, path=str(path))


def _named(sandbox: Sandbox, folders: Iterable[str]) -> Iterator[PurePosixPath]:
    """The files there that are called like libraries with a version."""
    globs = " ".join(f"{folder}/*.so.[0-9]*" for folder in folders)
    words = _ask(sandbox, "sh", "-c", f"set -- {globs}; {_FILES}") if globs else ""
    return map(PurePosixPath, words.splitlines())


def _libraries_of_musl(sandbox: Sandbox, arch: str) -> Iterator[SurveyedLibrary]:
    """The files where musl's loader searches (ldso/dynlink.c); its symbols have no versions."""
    words = _ask(sandbox, "sh", "-c", _MUSL_FOLDERS.format(arch=arch))
    seen: set[str] = set()
    for path in map(PurePosixPath, words.splitlines()):
        if path.name not in seen:
            seen.add(path.name)
            yield SurveyedLibrary(soname=path.name, path=str(path))


def _versions(sandbox: Sandbox, path: str, here: Path) -> frozenset[str]:
    inside = SCRATCH / "surveyed" / PurePosixPath(path).name
    _ask(sandbox, "sh", "-c", 'mkdir -p "$(dirname "$2")" && cp -L "$1" "$2"', "sh", path, str(inside))
    sandbox.copy_out(inside, here)
    return defined_versions(here)


def _ask(sandbox: Sandbox, *argv: str, must: bool = True) -> str:
    done = sandbox.exec(Command(argv=argv, timeout=_TIMEOUT))
    if must and not done.ok:
        raise ImageError(f"the image does not answer: {argv[-1]}", why=done.reason())
    return done.stdout.decode("utf-8", "replace") if done.ok else ""


FORM = 3  # of the files: another procedure or form gets another number, and looks again
LIMIT = 256 * 1024 * 1024  # bytes; some ten thousand images


class Surveys:
    """Surveys kept below `root`, one file an image, for this run and later ones."""

    def __init__(self, root: Path) -> None:
        self._kept = ValueCache(root, Survey, limit=LIMIT)
        self._lock = threading.Lock()
        self._known: dict[str, Survey | None] = {}
        self._under_way: dict[str, threading.Lock] = {}

    def of(self, distro: Distro, image: Image, engine: Engine) -> Survey | None:
        """The survey of an image; None for one that does not answer, and for the rest of this run.

        It takes about a second the first time. A folder that cannot be written keeps nothing.
        """
        with self._lock:
            mine = self._under_way.setdefault(image.digest, threading.Lock())
        with mine:
            if image.digest not in self._known:
                self._known[image.digest] = self._look(distro, image, engine)
            return self._known[image.digest]

    def _look(self, distro: Distro, image: Image, engine: Engine) -> Survey | None:
        key = key_of(FORM, image.digest)
        known = self._kept.recall(key)
        if known is not None:
            return known
        try:
            survey = survey_image(distro, image, (), engine).survey
        except ManylinuxError:
            return None  # the trials will say what is wrong with it
        self._kept.keep(key, survey)
        self._kept.prune()
        return survey
