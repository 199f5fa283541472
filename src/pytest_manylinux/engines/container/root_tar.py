"""A root that lies in a folder, as a tar stream."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_KERNELS = frozenset({"proc", "sys", "dev"})


def pack_root(root: Path, stream: IO[bytes]) -> None:
    """Write a root as a tar stream, owners kept.

    A root that an ordinary user made belongs to subordinate ids: the owner of the root folder is
    taken for the superuser, and ids count from there. What that user may not read (/etc/shadow)
    is left out; so are device files and what the kernel shows.
    """
    base = root.stat().st_uid
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in _walk(root):
            name = str(path.relative_to(root))
            member = archive.gettarinfo(path, arcname=name)
            if member is None or member.ischr() or member.isblk() or member.isfifo():
                continue
            member.uname = member.gname = ""
            member.uid, member.gid = max(member.uid - base, 0), max(member.gid - base, 0)
            if not member.isreg():
                archive.addfile(member)
            elif os.access(path, os.R_OK):
                with path.open("rb") as content:
                    archive.addfile(member, content)


def _walk(root: Path, depth: int = 0) -> Iterator[Path]:
    for entry in sorted(root.iterdir()) if os.access(root, os.R_OK | os.X_OK) else ():
        yield entry
        if stat.S_ISDIR(entry.lstat().st_mode) and not (depth == 0 and entry.name in _KERNELS):
            yield from _walk(entry, depth + 1)
