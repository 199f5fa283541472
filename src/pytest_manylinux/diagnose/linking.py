"""Symbols that nothing in reach defines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pytest_manylinux.diagnose.loader_model import Loading, is_loader, loadings
from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.wheel import ElfFacts, WheelFacts

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
        if not want.version and not want.weak and not want.name.startswith(("Py", "_Py"))
        if want.name not in AMBIENT
    )
