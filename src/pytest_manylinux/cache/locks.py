"""Kernel file locks that die with their process, so that nothing stale is ever left.

filelock serves where one process waits for another (`in_turn`); the others serve where a lock is a
statement (`this image is in use`, `this unfinished folder has an owner`) that others only look at.
`once_per_run` is for the processes of one run (pytest-xdist's workers): one does the work for all.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import filelock

from pytest_manylinux.cache.atomic import write_whole
from pytest_manylinux.cache.paths import room_errors
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.host.shutdown import lifetime

_T = TypeVar("_T")
_LOOK_UP = 0.2  # seconds between two looks at whether the run goes on


@contextlib.contextmanager
def in_turn(path: Path, *, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a lock file that others wait for; it is dropped at the end, or with the process.

    `waiting` is called if somebody else holds it now. Raises RunEndedError if the run ends meanwhile.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        waiting()
        _await(lock)
    try:
        yield
    finally:
        lock.release()


def _await(lock: filelock.BaseFileLock) -> None:
    while True:
        lifetime().check()
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=_LOOK_UP)
            return


def hold_shared(path: Path) -> int | None:
    """Hold a file that exists as in use, until the descriptor is closed or the process ends.

    None if the file is gone, or is held for removal. Works on a read-only file system.
    """
    return _hold(path, os.O_RDONLY, fcntl.LOCK_SH | fcntl.LOCK_NB)


def hold_alone(path: Path, *, create: bool = False) -> int | None:
    """Hold a file alone; None if it is gone or someone else holds it."""
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    return _hold(path, flags, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _hold(path: Path, flags: int, operation: int) -> int | None:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, operation)
        if _same_file(descriptor, path):
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether the path still leads to the file we locked: it may have been removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def once_per_run(folder: Path | None, key: tuple[str, ...], work: Callable[[], _T]) -> _T:
    """Do `work` in the first process that asks, and give its result or its error to all others.

    `folder` is private to one run and written by its own processes only, which is why reading
    pickles from it is sound. None means that there are no other processes.
    """
    if folder is None:
        return work()
    name = hashlib.sha256("\0".join(key).encode()).hexdigest()
    result = folder / f"{name}.pickle"
    with in_turn(folder / f"{name}.lock"):
        if result.exists():
            outcome = pickle.loads(result.read_bytes())  # noqa: S301
        else:
            outcome = _attempt(work)
            with room_errors(folder):
                write_whole(result, pickle.dumps(outcome))
    if isinstance(outcome, ManylinuxError):
        raise outcome
    return cast("_T", outcome)


def _attempt(work: Callable[[], _T]) -> _T | ManylinuxError:
    try:
        return work()
    except ManylinuxError as error:
        return error
