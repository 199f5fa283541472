"""What an archive image is made from, as a value with a key."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import msgspec

from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay, Distro, ImagePurpose, Interpreter

FORMAT = 2
"""Raise it when the way roots are made changes, so that none of the older ones is taken."""


UNPACKED = "unpacked"
"""The variant of roots whose packages are unpacked and not installed (unpack_main.py)."""

MUSL = "musl"
"""The variant of roots of musl that are built from source packages (hooks/musl_build.sh)."""
MUSL_TOOLS = (
    *("gcc", "make", "musl-tools", "linux-libc-dev", "busybox-static", "ca-certificates"),
    *("autoconf", "automake", "libtool", "libltdl-dev"),  # libffi's archive has no configure script
    *("perl", "tcl"),  # OpenSSL's Configure; SQLite makes its one file with tclsh
)
"""The binary packages that the build wants, and whose files get into the root."""
MUSL_SOURCES = ("zlib", "bzip2", "xz-utils", "libffi", "sqlite3", "openssl")
"""The source packages of the libraries that CPython's standard library wants."""
_BUILDING = "musl_*"
"""The scripts in hooks/ that build such a root."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to make a root; equal recipes share one image.

    `variant` is mmdebstrap's, or UNPACKED, or MUSL.
    `base` are the packages of the trial image that a build image is grown from, empty for an image
    made from nothing. `way` is how the archive was asked: two ways are two recipes, even where
    they come out as the same packages. `built_by` is a digest of the scripts that build a root from
    source packages, empty where none is built.
    """

    distro: str
    suite: str
    arch: str
    packages: tuple[str, ...]
    base: tuple[str, ...] = ()
    variant: str = "minbase"
    merged_usr: bool = False
    extra_suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ("main",)
    way: ArchiveWay = ArchiveWay.ALL_SUITES
    built_by: str = ""

    @property
    def key(self) -> str:
        """A digest of all of it and of FORMAT: the name in the index and of the lock."""
        content = msgspec.json.encode([FORMAT, self], order="sorted")
        return hashlib.sha256(content).hexdigest()


def recipe_of(
    distro: Distro,
    archive: ArchiveRecipe,
    arch: str,
    purpose: ImagePurpose,
    *,
    extra_packages: tuple[str, ...],
    interpreter: Interpreter,
    way: ArchiveWay = ArchiveWay.ALL_SUITES,
    unpacked: bool = False,
) -> Recipe:
    """The recipe of an image; a build image is the trial image grown by headers and extras.

    With `unpacked` it is made at one go, because no program of it can be run at this machine's speed.
    """
    if archive.from_source:
        purpose, extra_packages, unpacked = ImagePurpose.TRIAL, (), False  # it has its headers
    trial = purpose is ImagePurpose.TRIAL
    grown = not trial and not unpacked
    wanted = interpreter.packages if not grown else ()
    wanted = wanted if trial else (*wanted, *interpreter.headers, *extra_packages)
    return Recipe(
        distro=distro.id,
        suite=archive.suite,
        arch=arch,
        packages=tuple(sorted(set(wanted))),
        base=tuple(sorted(set(interpreter.packages))) if grown else (),
        variant=_variant(archive, unpacked=unpacked),
        merged_usr=archive.merged_usr,
        extra_suites=archive.extra_suites if way is ArchiveWay.ALL_SUITES else (),
        components=archive.components,
        way=way,
        built_by=_build_of_musl() if archive.from_source else "",
    )


@lru_cache(maxsize=1)
def _build_of_musl() -> str:
    """A digest of the scripts: what they build otherwise is another root."""
    digest = hashlib.sha256()
    for script in sorted(Path(__file__).with_name("hooks").glob(_BUILDING)):
        digest.update(script.read_bytes())
    return digest.hexdigest()[:12]


def _variant(archive: ArchiveRecipe, *, unpacked: bool) -> str:
    if archive.from_source:
        return MUSL
    return UNPACKED if unpacked else "minbase"
