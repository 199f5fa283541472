"""What a live image has: its shared libraries and the versions of symbols that they offer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedLibrary:
    """A library in a folder that the image's loader searches.

    `versions` are the symbol versions that it defines (`GLIBC_2.36`, `GLIBC_ABI_DT_RELR`).
    """

    soname: str
    path: str
    versions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All libraries of one image, known by its digest, of one architecture."""

    distro: str
    image: str
    arch: str
    libraries: tuple[SurveyedLibrary, ...]
