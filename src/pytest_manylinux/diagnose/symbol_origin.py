"""Which releases were the first to offer a version of a symbol, by the packaged catalogue."""

from __future__ import annotations

from functools import cache

from packaging.version import InvalidVersion, Version

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.model.distro import Distro

# The families that most readers know, to be named first; of the others a few will do.
_KNOWN = ("debian", "ubuntu", "fedora", "almalinux", "opensuse")
_NAMED = 5


@cache
def first_releases(namespace: str, version: str) -> tuple[str, ...]:
    """Ids of the oldest release of each family that offers the version, well-known families first."""
    found: dict[str, Distro] = {}
    for distro in load_catalogue().distros:
        best = found.get(distro.family)
        if not _offers(distro, namespace, version) or distro.rolling:
            continue
        if best is None or distro.libc < best.libc:
            found[distro.family] = distro
    known = [found[family] for family in _KNOWN if family in found]
    others = [distro for family, distro in sorted(found.items()) if family not in _KNOWN]
    return tuple(distro.id for distro in (*known, *others)[:_NAMED])


def _offers(distro: Distro, namespace: str, version: str) -> bool:
    offered = dict(distro.symbol_maxima)
    if distro.libc.is_glibc():
        offered.setdefault("GLIBC", distro.libc.number)
    try:
        return namespace in offered and Version(offered[namespace]) >= Version(version)
    except InvalidVersion:
        return False
