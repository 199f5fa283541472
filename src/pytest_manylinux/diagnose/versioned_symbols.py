"""Versioned symbols: what a wheel wants and what a distro's own libraries offer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.wheel import ElfFacts, WheelFacts

# The namespaces that a catalogue row has maxima for; all others belong to libraries that no policy
# lets come from outside.
NAMESPACES = ("GLIBC", "GLIBCXX", "CXXABI", "GCC", "ZLIB", "LIBATOMIC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A version that is wanted and not offered, and the files of the wheel that want it."""

    namespace: str
    wanted: str
    offered: str
    files: tuple[str, ...]


@once_per_wheel
def highest_wants(facts: WheelFacts) -> dict[str, tuple[Version, dict[str, Version]]]:
    """Per namespace: the highest version wanted, and the highest of each file.

    Versions of libraries that the wheel brings itself do not count: they come from the wheel. Nor do
    files that nothing in the wheel loads.
    """
    brought = {elf.soname or elf.path.rpartition("/")[2] for elf in facts.elf}
    found: dict[str, dict[str, Version]] = {}
    for elf in loaded_files(facts):
        for namespace, version in _outside_versions(elf, brought):
            files = found.setdefault(namespace, {})
            files[elf.path] = max(version, files.get(elf.path, version))
    return {name: (max(files.values()), files) for name, files in found.items()}


def excesses(facts: WheelFacts, distro: Distro) -> Iterator[Excess]:
    """What the wheel wants beyond the figures of the distro's row; nothing where it has none."""
    offered = dict(distro.symbol_maxima)
    offered.setdefault("GLIBC", ".".join(map(str, distro.glibc)))
    for namespace, (highest, files) in highest_wants(facts).items():
        limit = offered.get(namespace)
        if limit is not None and highest > Version(limit):
            too_new = tuple(p for p, version in files.items() if version > Version(limit))
            yield Excess(namespace=namespace, wanted=str(highest), offered=limit, files=too_new)


def wanted_symbols(elf: ElfFacts, version: str) -> tuple[str, ...] | None:
    """The symbols that a file wants in that version; None if it does not want the version."""
    symbols = tuple(want.name for want in elf.wants if want.version == version)
    needed = any(version in versions for _, versions in elf.version_needs)
    return symbols if symbols or needed else None


def _outside_versions(elf: ElfFacts, brought: set[str]) -> Iterator[tuple[str, Version]]:
    for library, versions in elf.version_needs:
        if library not in brought:
            for text in versions:
                namespace, _, number = text.partition("_")
                if namespace in NAMESPACES and (version := _version(number)) is not None:
                    yield namespace, version


def _version(number: str) -> Version | None:
    """A version such as 2.34; None for words such as PRIVATE or ABI_DT_RELR."""
    try:
        return Version(number)
    except InvalidVersion:
        return None
