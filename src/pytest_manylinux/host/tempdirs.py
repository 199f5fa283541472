"""Temporary folders of a run on this machine, which go when it does, SIGKILL included."""

from __future__ import annotations

import atexit
import itertools
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_manylinux.errors import EngineError
from pytest_manylinux.host.shutdown import Closeable, Tether
from pytest_manylinux.host.subprocesses import start_time

_PREFIX = "pytest-manylinux-staged-"
_NAME = re.compile(rf"{_PREFIX}(?P<pid>\d+)-(?P<start>\d+)-")
_lock = threading.Lock()
_places: dict[int, Staging] = {}  # by process: a fork begins one of its own


class Staging(Closeable):
    """A folder for files that containers are to see: other users can read it.

    It goes when this process does, however that ends. What a machine that lost power left is removed
    when the next one is made. Raises EngineError if there is no place for it.
    """

    def __init__(self) -> None:
        pid = os.getpid()
        name = f"{_PREFIX}{pid}-{start_time(pid)}-"
        try:
            place = Path(tempfile.gettempdir())
            _sweep(place)
            self.folder = Path(tempfile.mkdtemp(prefix=name, dir=place))
        except OSError as error:
            raise EngineError(
                "no temporary folder can be had on this machine",
                why=error.strerror or str(error),
                remedy="name one that can be written, and has room, in TMPDIR",
            ) from error
        self.folder.chmod(0o755)
        self._tether = Tether(str(self.folder), after='rm -rf "$1"')
        self._serial = itertools.count()

    def file(self, content: str) -> Path:
        """A file with `content`."""
        path = self.folder / str(next(self._serial))
        path.write_text(content, errors="surrogateescape")
        path.chmod(0o644)
        return path

    def subfolder(self) -> Path:
        """An empty folder."""
        path = self.folder / str(next(self._serial))
        path.mkdir()
        return path

    def readable(self, source: Path) -> Path:
        """`source` itself if every user may read all of it, else a copy that every user may read."""
        if all(_is_open(path) for path in _walk(source)):
            return source
        copy = self.folder / str(next(self._serial))
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True)
        else:
            shutil.copyfile(source, copy)
        for path in _walk(copy):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | _wanted(path.stat().st_mode))
        return copy

    def close(self) -> None:
        """Remove the folder."""
        self._tether.close()


def _walk(source: Path) -> Iterator[Path]:
    yield source
    if source.is_dir() and not source.is_symlink():
        for entry in source.iterdir():
            yield from _walk(entry)


def _wanted(mode: int) -> int:
    if stat.S_ISDIR(mode) or mode & stat.S_IXUSR:
        return stat.S_IROTH | stat.S_IXOTH
    return stat.S_IROTH


def _is_open(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISLNK(mode) or mode & _wanted(mode) == _wanted(mode)


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        match = _NAME.match(folder.name)
        ours = folder.lstat().st_uid == os.geteuid()
        if match and ours and start_time(int(match["pid"])) != int(match["start"]):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder that only this user may enter; removed at the end, or with this process."""
    folder = _subfolder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def places() -> tuple[Staging, ...]:
    """Where this process's folders lie: at most one place, which goes when the process does."""
    place = _places.get(os.getpid())
    return () if place is None else (place,)


def _subfolder() -> Path:
    with _lock:
        place = _places.get(os.getpid())
        if place is None or not place.folder.is_dir():
            place = _places[os.getpid()] = Staging()
            atexit.register(place.close)
        folder = place.subfolder()
    folder.chmod(0o700)
    return folder
