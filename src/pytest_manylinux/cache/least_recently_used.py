"""The one policy for making room: the least recently used goes first."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_Entry = TypeVar("_Entry", bound="CacheEntry")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A file or folder of a cache. `size` in bytes; `used` in seconds since the epoch."""

    path: Path
    size: int
    used: float


def surplus(
    found: Iterable[_Entry],
    *,
    max_size: int | None = None,
    max_count: int | None = None,
    max_age: float | None = None,
    spared: float = 0.0,
    now: float | None = None,
) -> Iterator[_Entry]:
    """The entries that have to go, the least recently used first.

    Those not used for more than `max_age` seconds; then, until the rest takes at most `max_size` bytes
    and is at most `max_count` entries, those used the longest ago, except those used within the last
    `spared` seconds. An entry that is larger than `max_size` by itself goes before all others.
    """
    now = time.time() if now is None else now
    largest = float("inf") if max_size is None else max_size
    left = sorted(found, key=lambda entry: (entry.size <= largest, entry.used))
    size, count = sum(entry.size for entry in left), len(left)
    for entry in left:
        age = now - entry.used
        expired = max_age is not None and age > max_age
        too_many = max_count is not None and count > max_count
        if expired or ((size > largest or too_many) and not 0 <= age < spared):
            size, count = size - entry.size, count - 1
            yield entry


def entries(paths: Iterable[Path], *, sized: bool = True) -> Iterator[CacheEntry]:
    """Each path as an entry: its own date, and the size of a file or of all files in a folder.

    What is empty counts as one byte, so that a limit of 0 leaves nothing. Not `sized`, all sizes are 0,
    and no folder is read.
    """
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            size = max(1, _size(path, status)) if sized else 0
            yield CacheEntry(path=path, size=size, used=status.st_mtime)


def remove_surplus(
    found: Iterable[CacheEntry],
    *,
    max_size: int | None = None,
    max_count: int | None = None,
    max_age: float | None = None,
    spared: float = 0.0,
) -> None:
    """Remove what `surplus` names; what cannot be removed stays."""
    going = surplus(found, max_size=max_size, max_count=max_count, max_age=max_age, spared=spared)
    for entry in tuple(going):
        with contextlib.suppress(OSError):
            if entry.path.is_dir() and not entry.path.is_symlink():
                shutil.rmtree(entry.path)
            else:
                entry.path.unlink(missing_ok=True)


def _size(path: Path, status: os.stat_result) -> int:
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files)
