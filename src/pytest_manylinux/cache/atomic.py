"""Files that appear whole or not at all, and of which nothing is left if we are killed meanwhile.

A file without a name (open(2): O_TMPFILE) is written and then linked into its place; the kernel frees
it with its last holder. Where the file system knows no such files, one with a name stands in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
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


def _is_stream(path: Path) -> bool:
    """Whether a path leads to a pipe or a device of characters; OSError for folders and disks."""
    mode = path.stat().st_mode if path.exists() else stat.S_IFREG
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return True
    if not stat.S_ISREG(mode):
        raise OSError(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'no file'}")
    return False


def _write_through(path: Path, parts: Iterable[bytes]) -> None:
    """Write to what is no file; to a pipe that nobody reads at once, raise OSError and do not wait."""
    handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    os.set_blocking(handle, True)
    with os.fdopen(handle, "wb") as stream:
        stream.writelines(parts)


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write aside and rename, so that a reader or a crash never meets half a file.

    Missing folders are made. A link is followed: what it points to is replaced, the link stays.
    The file gets the permissions that the user's umask gives to any new file. A pipe, a terminal or
    `/dev/null` is written to as it is: root could replace it. Raises ReportError where the place cannot
    be written.
    """
    parts = [content] if isinstance(content, bytes) else content
    real = path.resolve()
    try:
        if _is_stream(path):
            _write_through(path, parts)
        else:
            real.parent.mkdir(parents=True, exist_ok=True)
            write_whole(real, parts)
    except OSError as error:
        raise ReportError(
            f"{path} could not be written",
            why=error.strerror or str(error),
            remedy="name a file in a folder that can be written and has room",
        ) from error
