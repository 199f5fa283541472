"""The ways to get a root from a Debian-style archive, and where old releases are kept.

No host is named here: an archive of old releases is what the user names, or else the neighbour of the
distribution's own host that the machine, or an image, already fetches from.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from pytest_manylinux.errors import ImageError
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay

MIRROR_VARIABLE = "PYTEST_MANYLINUX_MIRROR_{origin}"
OLD_HOSTS = {"debian": "archive", "ubuntu": "old-releases"}
"""By origin the name that the host of old releases has in the distribution's own domain."""

_WORDS = {
    ArchiveWay.ALL_SUITES: "all suites",
    ArchiveWay.PLAIN_SUITE: "the plain suite, without updates and security",
    ArchiveWay.OLD_RELEASES: "the archive of old releases",
}


def words_of(way: ArchiveWay) -> str:
    """What a way takes a root from, for people."""
    return _WORDS[way]


def ways_of(recipe: ArchiveRecipe) -> tuple[ArchiveWay, ...]:
    """The row's ways in order; where there are no further suites, all of them are the plain one."""
    plain = ArchiveWay.PLAIN_SUITE
    same = not recipe.extra_suites and ArchiveWay.ALL_SUITES in recipe.ways
    return tuple(way for way in recipe.ways if not (same and way is plain))


def variable(origin: str, part: str = "") -> str:
    """The environment variable that names a mirror: of an origin, or of a part of it."""
    return MIRROR_VARIABLE.format(origin="_".join(filter(None, (origin, part))).upper())


def named_mirror(origin: str, part: str = "") -> str:
    """What that variable names, without a slash at the end; empty if it is not set."""
    return os.environ.get(variable(origin, part), "").rstrip("/")


def old_releases_beside(url: str, origin: str) -> str:
    """The archive of old releases beside a distribution's own mirror; empty for any other mirror.

    A company's mirror tells nothing of where old releases are.
    """
    domain = (urlsplit(url).hostname or "").split(".")[-2:]
    if origin not in OLD_HOSTS or len(domain) != len(("name", "top")) or domain[0] != origin:
        return ""
    return f"http://{OLD_HOSTS[origin]}.{'.'.join(domain)}/{origin}"


def no_old_releases(origin: str) -> ImageError:
    """The error where nobody named an archive of old releases, and none can be derived."""
    return ImageError(
        f"no archive of old {origin} releases is known here",
        remedy=f"name one in {variable(origin, 'old')}",
    )
