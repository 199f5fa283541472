"""Paths that somebody else has laid out: what they lead to, and how they are written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pytest_manylinux.errors import UsageError
from pytest_manylinux.escape import printable

MAX_TEXT = 1024 * 1024
"""Bytes of a file that describes a project (pyproject.toml, setup.py); no real one comes near."""


def stays_within(path: Path, roots: Iterable[Path]) -> bool:
    """Whether what a path leads to, all links followed, lies at or below one of the resolved roots.

    False where it leads nowhere, in a circle, or where nobody may look.
    """
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a circle, before Python 3.13
        return False
    return any(target.is_relative_to(root) for root in roots)


def is_file_of(folder: Path, path: Path) -> bool:
    """Whether a path is a regular file that lies in the folder, also where it is a link."""
    try:
        return stat.S_ISREG(path.stat().st_mode) and stays_within(path, (folder.resolve(),))
    except (OSError, RuntimeError):
        return False


def require_plain(path: Path) -> None:
    """Raise UsageError for what a link or a name leads to that is no plain file: to open it may wait.

    What is not there, or may not be looked at, is left to who opens it.
    """
    if kind := kind_of(Path(os.path.realpath(path))):
        raise UsageError(f"{printable(str(path))} is {kind}, not a file", remedy="name a file")


def kind_of(path: Path) -> str:
    """The word for what a path is, its links not followed; empty for files, folders and nothing."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    words = {
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return words.get(stat.S_IFMT(mode), "")
