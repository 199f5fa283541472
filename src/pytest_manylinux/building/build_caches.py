"""What builds keep between runs, so that no project's build can reach into another's.

    projects/<key>/zig-<edition>, pip    one project's own caches, which its builds may write
    zig-warm/<edition>                   what zig makes of its own C libraries; only `warm_up` writes it

An edition is one compiler as it was fetched: zig takes nothing that another one made, were it the same
version, and could not make it anew where it is linked from a folder that builds cannot write.

A build's sandbox sees the second read-only, and begins by copying or linking it into the first
(inside/set_up.sh). Nothing on this machine ever writes into a folder that a sandbox has written:
what lies there may be a link to anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tarfile
import time
from pathlib import Path

from pytest_manylinux.building import zig
from pytest_manylinux.engines.api import Cache, Mount

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


def project_caches(cache: Path, project: Path) -> tuple[Cache, ...]:
    """What a build with zig may write and finds again next time."""
    return tuple(
        Cache(source=project_cache(cache, project, folder), target=zig.CACHES / name)
        for name, folder in (("zig", f"zig-{_edition(cache)}"), ("pip", "pip"))
    )


def _edition(cache: Path) -> str:
    compilers = (cache / "zig").glob(f"{zig.VERSION}-*/zig")
    fetched = sorted(compiler.stat().st_mtime_ns for compiler in compilers)
    return f"{zig.VERSION}-{hashlib.sha256(repr(fetched).encode()).hexdigest()[:8]}"


def warm_folder(cache: Path) -> Path:
    """The folder that `warm_up` fills."""
    folder = cache / "zig-warm" / _edition(cache)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def warm_mount(cache: Path) -> Mount:
    """The same, for a build to take from."""
    return Mount(source=warm_folder(cache), target=zig.KIT / "warm")


def forget_old_projects(cache: Path) -> None:
    """Remove what was not used for long: projects' caches, other compilers'; what cannot be stays."""
    now = time.time()
    with contextlib.suppress(OSError):
        ages = {folder: now - folder.stat().st_mtime for folder in (cache / "projects").iterdir()}
        for place, folder in enumerate(sorted(ages, key=ages.__getitem__)):
            if ages[folder] > (KEPT if place < MOST else _DAY):
                shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        for entry in (cache / "zig-warm").iterdir():
            if not entry.name.startswith(_edition(cache)) and now - entry.stat().st_mtime > _DAY:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


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
