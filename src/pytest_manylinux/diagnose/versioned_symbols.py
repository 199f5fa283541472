"""Versioned symbols: what a wheel wants, what a distro offers, and which releases were the first to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from packaging.version import Version

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.api import once_per_wheel
from pytest_manylinux.diagnose.loader_model import loaded_files, loadings
from pytest_manylinux.model.distro import NAMESPACES, Distro
from pytest_manylinux.model.elf_facts import ElfFacts, version_of
from pytest_manylinux.model.wheel import WheelFacts

RELR_MARK = "GLIBC_ABI_DT_RELR"
# Marks that the linker writes as version needs, and the glibc that brought them (NEWS of 2.36 and 2.42,
# and the Versions files of sysdeps/x86 in 2.43). Distros carry some of them back to older versions: the
# row's GLIBC_ABI names them, and a survey's names decide.
MARKS: dict[str, tuple[int, int]] = {
    "DT_RELR": (2, 36),
    "GNU_TLS": (2, 42),
    "GNU2_TLS": (2, 42),
    "DT_X86_64_PLT": (2, 43),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A version that is wanted and not offered, and the files of the wheel that want it."""

    namespace: str
    wanted: str
    offered: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLack:
    """A version that `file` wants of `library`, both in the wheel, and that is not in it."""

    file: str
    version: str
    library: str


@once_per_wheel
def wanted_versions(facts: WheelFacts) -> dict[tuple[str, str], tuple[str, ...]]:
    """(library, version) to the files that want it, for every versioned need from outside the wheel.

    Versions of libraries that the wheel brings itself do not count: they come from the wheel. Nor do
    files that nothing in the wheel loads.
    """
    brought = {elf.soname or elf.path.rpartition("/")[2] for elf in facts.elf}
    found: dict[tuple[str, str], list[str]] = {}
    for elf in loaded_files(facts):
        for library, versions in elf.version_needs:
            for version in versions if library not in brought else ():
                found.setdefault((library, version), []).append(elf.path)
    return {need: tuple(paths) for need, paths in found.items()}


@once_per_wheel
def own_lacks(facts: WheelFacts) -> tuple[OwnLack, ...]:
    """Versions that files of the wheel want of its own libraries, and that those do not define.

    Of a library that defines no versions at all the loader only warns.
    """
    found: dict[OwnLack, None] = {}
    for loading in loadings(facts):
        own = {file.soname or file.path.rpartition("/")[2]: file for file in reversed(loading.files)}
        for file in loading.files:
            for library, versions in file.version_needs:
                offered = own[library].version_defs if library in own else ()
                for version in versions:
                    if offered and version not in offered:
                        path = own[library].path
                        found[OwnLack(file=file.path, version=version, library=path)] = None
    return tuple(found)


def excesses(facts: WheelFacts, distro: Distro) -> Iterator[Excess]:
    """What the wheel wants beyond what the distro has, the highest version of each namespace.

    A surveyed image is asked by the names of its versions, library by library, as its loader would be;
    else the figures of the distro's row count, for the namespaces that it has. The mark of packed
    relocations has a finding of its own.
    """
    highest: dict[str, tuple[Version, str, list[str]]] = {}
    wanted_here = {} if distro.libc.is_musl() else wanted_versions(facts)  # musl asks no version
    for (library, name), files in wanted_here.items():
        if name == RELR_MARK or _offers(distro, library, name) is not False:
            continue
        namespace, number = split_version(name)
        version = version_of(number) or Version("0")
        best, wanted, paths = highest.get(namespace, (version, number, []))
        wanted = number if version > best else wanted
        highest[namespace] = (max(best, version), wanted, [*paths, *files])
    offered = distro_figures(distro)
    for namespace, (_, wanted, paths) in highest.items():
        limit = offered.get(namespace, "")
        files = tuple(dict.fromkeys(paths))
        yield Excess(namespace=namespace, wanted=wanted, offered=limit, files=files)


def distro_figures(distro: Distro) -> dict[str, str]:
    """The highest version of each namespace by the distro's row."""
    own = {"GLIBC": distro.libc.number} if distro.libc.is_glibc() else {}
    return {**own, **dict(distro.symbol_maxima)}


def split_version(name: str) -> tuple[str, str]:
    """`GLIBC_2.34` as `GLIBC` and `2.34`; the marks of glibc's binary interface as `GLIBC_ABI`."""
    if name.startswith("GLIBC_ABI_"):
        return "GLIBC_ABI", name.removeprefix("GLIBC_ABI_")
    namespace, _, number = name.rpartition("_")
    return namespace, number


def _offers(distro: Distro, library: str, name: str) -> bool | None:
    """Whether the distro's library defines the version; None where nothing is known of that."""
    if distro.version_names is not None:
        if f"{library}:{name}" in distro.version_names:
            return True
        # Of one that defines no versions at all the loader only warns; one that is absent has
        # a finding of its own.
        known = library in versioned_libraries(distro.version_names)
        return False if known else None
    namespace, number = split_version(name)
    limit = distro_figures(distro).get(namespace)
    if namespace == "GLIBC_ABI":
        since = MARKS.get(number)
        return number in (limit or "").split() or (since is not None and distro.libc.is_glibc(since))
    wanted = version_of(number)
    if namespace not in NAMESPACES or limit is None or wanted is None:
        return None
    return wanted <= Version(limit)


@lru_cache(maxsize=64)
def versioned_libraries(names: frozenset[str]) -> frozenset[str]:
    """The sonames among `soname:VERSION` names."""
    return frozenset(name.partition(":")[0] for name in names)


def wanted_symbols(elf: ElfFacts, version: str) -> tuple[str, ...] | None:
    """The symbols that a file wants in that version; None if it does not want the version."""
    symbols = tuple(want.name for want in elf.wants if want.version == version)
    needed = any(version in versions for _, versions in elf.version_needs)
    return symbols if symbols or needed else None


# The families that most readers know, to be named first; of the others a few will do.
_KNOWN = ("debian", "ubuntu", "fedora", "almalinux", "opensuse")
_NAMED = 5


@cache
def first_releases(namespace: str, version: str) -> tuple[str, ...]:
    """Ids of the oldest release of each family that offers the version, well-known families first."""
    found: dict[str, Distro] = {}
    for distro in load_catalogue().distros:
        best = found.get(distro.family)
        if not _release_offers(distro, namespace, version) or distro.rolling:
            continue
        if best is None or distro.libc < best.libc:
            found[distro.family] = distro
    known = [found[family] for family in _KNOWN if family in found]
    others = [distro for family, distro in sorted(found.items()) if family not in _KNOWN]
    return tuple(distro.id for distro in (*known, *others)[:_NAMED])


def _release_offers(distro: Distro, namespace: str, version: str) -> bool:
    offered = dict(distro.symbol_maxima)
    if distro.libc.is_glibc():
        offered.setdefault("GLIBC", distro.libc.number)
    wanted = version_of(version)
    return namespace in offered and wanted is not None and Version(offered[namespace]) >= wanted
