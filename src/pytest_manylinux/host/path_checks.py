"""Paths that somebody else has laid out: what they lead to, and how they are written."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

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
