"""Where the cache lies, and errors for a disk that takes nothing more, which say which disk it was.

The parts of the cache are named by those who keep something there.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from pytest_manylinux.errors import StoreError

CACHE_VARIABLE = "PYTEST_MANYLINUX_CACHE"


def cache_root() -> Path:
    """The folder that the environment names, or else the user's own cache folder (platformdirs)."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).absolute() if named else platformdirs.user_cache_path("pytest-manylinux")


_FULL = {errno.ENOSPC, errno.EDQUOT}
_UNUSABLE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}


@contextmanager
def store_errors(root: Path) -> Iterator[None]:
    """Turn the file system's refusals into StoreErrors; `root` is a folder of the cache."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL | _UNUSABLE:
            raise refusal(root, error) from error
        raise


@contextmanager
def room_errors(root: Path) -> Iterator[None]:
    """The same for work in several places, of which none can be said to be unusable."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise refusal(root, error) from error
        raise


def refusal(root: Path, error: OSError, *, doing: str = "") -> StoreError:
    """The error for whatever the file system says; `doing` begins it where that is no news."""
    if error.errno in _FULL:
        found = full(root, str(error))
    elif error.errno in _UNUSABLE:
        found = StoreError(
            f"the cache folder {root} cannot be used",
            why=str(error),
            remedy=f"name another one in {CACHE_VARIABLE}",
        )
    else:
        found = StoreError(
            f"the disk of {root} or of {tempfile.gettempdir()} fails",
            why=str(error),
            remedy="see what the system's log says of it, then run again",
        )
    return StoreError(f"{doing}: {found.what}", why=found.why, remedy=found.remedy) if doing else found


def full(root: Path, why: str) -> StoreError:
    """The error for a disk that has no room left: the cache's, or that of temporary files.

    A failed write does not say which it was on; the one with less room is named.
    """
    temporary = Path(tempfile.gettempdir())
    if _room(temporary) < _room(root):
        return StoreError(
            f"no room left for temporary files in {temporary}",
            why=why,
            remedy="make room there, or name a roomier folder in TMPDIR",
        )
    return StoreError(
        f"no room left in {root}",
        why=why,
        remedy=f"`pytest-manylinux cache prune`, or name a roomier folder in {CACHE_VARIABLE}",
    )


def _room(folder: Path) -> int:
    """Bytes left where a folder is, or would be; 0 if nobody knows."""
    place = next((path for path in (folder, *folder.parents) if path.is_dir()), None)
    try:
        return shutil.disk_usage(place).free if place else 0
    except OSError:
        return 0
