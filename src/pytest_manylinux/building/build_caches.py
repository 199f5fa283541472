"""What the builds of one project keep between runs, so that no project's build can reach another's.

    projects/<key>/NAME    one project's own caches, which its builds may write
    zig-warm/<edition>     what zig makes of its own C libraries; only `warm_up` writes it

A build's sandbox sees the second read-only, and begins by copying or linking it into the first
(inside/set_up.sh). Nothing on this machine ever writes into a folder that a sandbox has written:
what lies there may be a link to anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from pathlib import Path

from pytest_manylinux.building.compiler import edition
from pytest_manylinux.cache.least_recently_used import entries, remove_surplus

KEPT = 30 * 86400.0
"""Seconds since its last build after which a project's caches are forgotten."""

MOST = 64
"""Projects whose caches are kept, some 10 MB each to begin with; of one day's work, all."""

_DAY = 86400.0

_CXX = frozenset({".cc", ".cpp", ".cxx", ".c++", ".cppm", ".C"})
_MAY_BE_CXX = ".pyx"
_WORD = b"c++"
_LOOKED_AT = 1 << 20  # bytes of a .pyx file


def project_cache(cache: Path, project: Path, name: str) -> Path:
    """The folder `name` of the caches that belong to the project at a path and to nobody else.

    Whoever may change what lies at that path may change the caches too: no more than the project.
    """
    key = hashlib.sha256(os.fsencode(project.resolve())).hexdigest()[:32]
    folder = cache / "projects" / key / name
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder.parent)
    return folder


def forget_old_projects(cache: Path) -> None:
    """Remove what was not used for long: projects' caches, other compilers'; what cannot be stays."""
    with contextlib.suppress(OSError):
        projects = entries((cache / "projects").iterdir(), sized=False)
        remove_surplus(projects, max_age=KEPT, max_count=MOST, spared=_DAY)
    with contextlib.suppress(OSError):
        others = (e for e in (cache / "zig-warm").iterdir() if not e.name.startswith(edition(cache)))
        remove_surplus(entries(others, sized=False), max_age=_DAY)


def has_cxx(archive: Path) -> bool:
    """Whether a packed source seems to have C++ in it; a wrong answer costs time only."""
    with tarfile.open(archive) as members:
        return any(_is_cxx(member, members) for member in members)


def _is_cxx(member: tarfile.TarInfo, members: tarfile.TarFile) -> bool:
    suffix = Path(member.name).suffix
    if suffix != _MAY_BE_CXX:
        return suffix in _CXX
    content = members.extractfile(member) if member.isreg() else None
    return content is not None and _WORD in content.read(_LOOKED_AT)
