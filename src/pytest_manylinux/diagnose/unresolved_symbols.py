"""Symbols that nothing in reach defines; for musl, symbols that only glibc has.

musl asks for no symbol version: a file linked with glibc loads as long as musl defines every name that
it wants. Which names that are was read from both libraries (`inspect/musl-symbols.txt`,
`data/glibc-symbols.txt`); only what glibc is known to define is judged, so that a name of C++'s, of
Python's or of a stranger's library is never taken for one of libc.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pytest_manylinux.diagnose.api import once_per_wheel
from pytest_manylinux.diagnose.libraries import is_libpython, is_on
from pytest_manylinux.diagnose.loader_model import (
    Loading,
    is_command,
    is_loader,
    is_of_musl,
    loaded_files,
    loadings,
)
from pytest_manylinux.inspect.symbols import musl_symbols
from pytest_manylinux.model.distro import Distro, InterpreterOrigin, Target
from pytest_manylinux.model.elf_facts import ElfFacts, SymbolWant
from pytest_manylinux.model.wheel import WheelFacts

# Libraries whose symbols all carry versions: a want that was linked against them has one. So a want
# without a version, in a file that needs nothing else from outside, comes from nowhere.
_VERSIONED = frozenset(
    {
        "libc.so.6",
        "libm.so.6",
        "libmvec.so.1",
        "libpthread.so.0",
        "libdl.so.2",
        "librt.so.1",
        "libutil.so.1",
        "libresolv.so.2",
        "libanl.so.1",
        "libnsl.so.1",
        "libcrypt.so.1",
        "libgcc_s.so.1",
        "libstdc++.so.6",
        "libatomic.so.1",
        "libgomp.so.1",
    }
)
# The interpreter's own: CPython's API, PyPy's (PyPyList_New), and what PyPy has for cffi's modules that
# embed it (pypy_carefully_make_gil), as its libpypy3-c.so exports them.
_OF_PYTHON = ("Py", "_Py", "pypy", "_pypy", "rpython_")
# Exported by Debian testing's PyPy 8.0.1, and not by 7.3.5, 7.3.11 and 7.3.19 of Debian 11 to 13.
_NEW_IN_PYPY = frozenset(
    {"PyPyGILState_GetThisThreadState", "PyPyModule_FromDefAndSpec", "PyPyModule_FromDefAndSpec2"}
)
_OLDER_PYPY = "_pp73"
_Defined = dict[str, frozenset[str]]
AMBIENT = frozenset({"__gmon_start__", "_DYNAMIC", "_GLOBAL_OFFSET_TABLE_", "__tls_get_addr"})
"""Defined by the linker, the compiler's start-up files or the loader itself."""


@cache
def glibc_names() -> frozenset[str]:
    """What glibc's libraries offer that every interpreter has loaded; a want needs no version for it.

    NumPy, for one, calls dladdr without linking libdl. That a name is too new for an old glibc goes
    unseen here.
    """
    text = (files("pytest_manylinux.diagnose.data") / "glibc-symbols.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """A symbol that a file wants and that neither it nor anything it loads defines."""

    symbol: str
    path: str
    root: str


@once_per_wheel
def loose_symbols(facts: WheelFacts) -> tuple[Loose, ...]:
    """All wants that certainly nothing in reach defines.

    Extension modules are opened with all their symbols bound at once (RTLD_NOW), so each such want
    refuses the import. Python's own symbols come from the interpreter. Nothing is said of a file
    that needs libraries from outside whose symbols have no versions.
    """
    seen: set[str] = set()
    defined: _Defined = {}
    return tuple(
        loose
        for loading in loadings(facts)
        if not loading.program and _all_versioned(loading)
        for loose in _of_loading(loading, seen, defined)
    )


def lacked_by_pypy(facts: WheelFacts, target: Target) -> list[tuple[str, str]]:
    """(symbol, file) of what extension modules want that the target's PyPy has not.

    Known of Debian's own up to Debian 13, whose ABI later releases of PyPy 7.3 share.
    """
    python = target.interpreter
    known = target.distro.family == "debian" and python.origin is InterpreterOrigin.DISTRO
    if not (known and python.own_abi.endswith(_OLDER_PYPY)):
        return []
    modules = {path for _, path in facts.extension_paths}
    return [
        (want.name, elf.path)
        for elf in facts.elf
        if elf.path in modules
        for want in elf.wants
        if want.name in _NEW_IN_PYPY and not want.weak
    ]


def _all_versioned(loading: Loading) -> bool:
    return all(need.library in _VERSIONED or is_loader(need.library) for need in loading.unreached)


def _of_loading(loading: Loading, seen: set[str], defined: _Defined) -> Iterator[Loose]:
    """Each file once, in the first loading that has it."""
    for elf in loading.files:
        if elf.path in seen:
            continue
        seen.add(elf.path)
        wanted = list(_unversioned(elf))
        loose = frozenset(wanted) - glibc_names()
        for file in loading.files:
            if not loose:
                break
            loose -= _names(file, defined)
        for name in wanted if loose else ():
            if name in loose:
                yield Loose(symbol=name, path=elf.path, root=loading.root.path)


def _names(elf: ElfFacts, defined: _Defined) -> frozenset[str]:
    """The names that a file defines, without versions; worked out when they are first asked for."""
    found = defined.get(elf.path)
    if found is None:
        found = defined[elf.path] = frozenset(export.partition("@")[0] for export in elf.exports)
    return found


def _unversioned(elf: ElfFacts) -> Iterator[str]:
    return (
        want.name
        for want in elf.wants
        if not want.version and not want.weak and not want.name.startswith(_OF_PYTHON)
        if want.name not in AMBIENT
    )


_NEWEST = (1, 2, 6)  # of the versions that the table was read from
# Libraries of the compiler's and zlib: they define nothing that is glibc's.
_HARMLESS = frozenset(
    {"libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libatomic.so.1", "libz.so.1"}
)
_READ_ON = "x86_64"  # versions of glibc's symbols say something of musl's names there alone


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentSymbol:
    """A symbol that a file wants and musl lacks; `since` is the first musl with it, or empty."""

    symbol: str
    path: str
    since: str


def first_musl(symbol: str) -> str:
    """The first version of musl that has the symbol: `1.2.3`; empty if all or none have it."""
    return ".".join(map(str, musl_symbols().get(symbol, ())))


def is_lacked(symbol: str, facts: WheelFacts, version: tuple[int, ...]) -> bool:
    """Whether a symbol of the loader's sentence is one of glibc's that musl of that version lacks."""
    if symbol in glibc_names():
        return not _has(symbol, version)
    wants = ((want, elf) for elf in facts.elf for want in elf.wants if want.name == symbol)
    return any(_is_lacked(want, elf, version) for want, elf in wants)


def _has(symbol: str, version: tuple[int, ...]) -> bool:
    since = musl_symbols().get(symbol)
    return symbol in AMBIENT or (since is not None and since <= version)


def absent_symbols(facts: WheelFacts, target: Target | None = None) -> tuple[AbsentSymbol, ...]:
    """Wants of extension modules, of commands and of their libraries that musl does not meet.

    Without a target those that no known version of musl meets. Weak ones may stay unmet. Nothing is
    said of a file that loads a library from outside of which it is not known what it defines
    (libucontext, libexecinfo, libgcompat).
    """
    version = _NEWEST if target is None else target.distro.libc.version
    distro = None if target is None else target.distro
    found: dict[tuple[str, str], AbsentSymbol] = {}
    for loading in loadings(facts, target):
        wrapped = loading.program and not is_command(loading.root.path)
        if wrapped or not all(_is_known(need.library, distro) for need in loading.unreached):
            continue
        for absent in _absent_of_loading(loading, version):
            found.setdefault((absent.path, absent.symbol), absent)
    return tuple(found.values())


def _is_known(library: str, distro: Distro | None) -> bool:
    """Whether it is known that the library defines nothing of glibc's, or is not there at all."""
    if is_of_musl(library) or library in _HARMLESS or is_libpython(library):
        return True
    return is_loader(library) if distro is None else is_on(library, distro) is False


def _absent_of_loading(loading: Loading, version: tuple[int, ...]) -> Iterator[AbsentSymbol]:
    defined: set[str] | None = None
    for elf in loading.files:
        for want in elf.wants:
            if not _is_lacked(want, elf, version):
                continue
            if defined is None:
                defined = {e.partition("@")[0] for file in loading.files for e in file.exports}
            if want.name not in defined:
                yield AbsentSymbol(symbol=want.name, path=elf.path, since=first_musl(want.name))


def _is_lacked(want: SymbolWant, elf: ElfFacts, version: tuple[int, ...]) -> bool:
    versioned = want.version.startswith("GLIBC_") and elf.arch == _READ_ON
    of_glibc = versioned or want.name in glibc_names()
    return of_glibc and not want.weak and not _has(want.name, version)


def marks_of_glibc(facts: WheelFacts) -> dict[str, tuple[str, ...]]:
    """The loaded files that were linked with glibc, and what shows it: libraries, symbol versions."""
    marks = {elf.path: tuple(_marks(elf)) for elf in loaded_files(facts)}
    return {path: found for path, found in marks.items() if found}


def _marks(elf: ElfFacts) -> Iterator[str]:
    yield from (f"needs {name}" for name in elf.needed if name in _GLIBCS or is_loader(name))
    versions = sorted(
        {version for _, wanted in elf.version_needs for version in wanted if version[:6] == "GLIBC_"}
    )
    if versions:
        yield f"wants {', '.join(versions)}"


# musl's own libc is libc.musl-ARCH.so.1, or libc.so; it has no other library (glibc 2.36, soname list).
_GLIBCS = frozenset(
    {
        *("libc.so.6", "libm.so.6", "libmvec.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1"),
        *("libutil.so.1", "libresolv.so.2", "libanl.so.1", "libnss_files.so.2"),
    }
)
