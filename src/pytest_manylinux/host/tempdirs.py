"""Temporary folders of a run on this machine, which go when it does, SIGKILL included."""

from __future__ import annotations

import atexit
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_manylinux.host.staged_files import Staging

_lock = threading.Lock()
_places: dict[int, Staging] = {}  # by process: a fork begins one of its own


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
