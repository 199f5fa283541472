"""Files that appear whole or not at all, and of which nothing is left if we are killed meanwhile.

A file without a name (open(2): O_TMPFILE) is written and then linked into its place; the kernel frees
it with its last holder. Where the file system knows no such files, one with a name stands in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pytest_manylinux.errors import ReportError

_UNKNOWN = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class AtomicFile:
    """A file that is not in its place yet; it gets the permissions that the user's umask gives."""

    stream: BinaryIO
    _name: str

    def become(self, target: Path) -> None:
        """Appear as `target`, on the same file system; raises FileExistsError rather than replace."""
        self.stream.flush()
        # Only with a folder's descriptor does Python follow the link in /proc (AT_SYMLINK_FOLLOW).
        beside = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(self._name, target, src_dir_fd=beside, follow_symlinks=True)
        finally:
            os.close(beside)


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Have a file with this content, on the disk, in the place of what is there; raises OSError.

    What comes in parts is written as it comes.
    """
    aside = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}")
    with draft(path.parent) as fresh:
        fresh.stream.writelines([content] if isinstance(content, bytes) else content)
        fresh.stream.flush()
        os.fsync(fresh.stream.fileno())
        fresh.become(aside)  # which only a rename can put in another file's place
    aside.replace(path)


@contextlib.contextmanager
def draft(folder: Path) -> Iterator[AtomicFile]:
    """A draft of a file that is to be in `folder`; gone at the end, unless it became something."""
    try:
        handle = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        with _named(folder) as found:
            yield found
        return
    with os.fdopen(handle, "w+b") as stream:
        yield AtomicFile(stream, f"/proc/self/fd/{handle}")


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[AtomicFile]:
    aside = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
    try:
        with (aside / "file").open("w+b") as stream:
            yield AtomicFile(stream, str(aside / "file"))
    finally:
        (aside / "file").unlink(missing_ok=True)
        aside.rmdir()


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write aside and rename, so that a reader or a crash never meets half a file.

    Missing folders are made. A link is followed: what it points to is replaced, the link stays.
    The file gets the permissions that the user's umask gives to any new file. Raises ReportError
    where the place cannot be written.
    """
    real = path.resolve()
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        if real.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        write_whole(real, content)
    except OSError as error:
        raise ReportError(
            f"{path} could not be written",
            why=error.strerror or str(error),
            remedy="name a file in a folder that can be written and has room",
        ) from error
