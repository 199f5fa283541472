"""Folders that appear whole or not at all, and are shared by runs and threads at the same time.

`make_once` does all of it: one maker at a time, work in a folder aside, a seal, one rename. The other
functions are its parts, for folders whose names are known only when they are finished. An unfinished
folder has an owner for as long as the owner's process lives; what dead ones left is swept away.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_manylinux.cache.integrity import is_whole, just_sealed, seal_folder
from pytest_manylinux.cache.locks import hold_alone, in_turn
from pytest_manylinux.cache.paths import refusal
from pytest_manylinux.errors import ImageError, StoreError
from pytest_manylinux.host.containment import contained

ASIDE = "aside"
"""The name of the folder for unfinished work that `make_once` keeps beside what it makes."""

_ATTEMPTS = 5


def make_once(
    target: Path,
    make: Callable[[Path], None],
    *,
    usable: Callable[[Path], bool] = is_whole,
    announce: Callable[[], object] = lambda: None,
    doing: str = "",
) -> Path:
    """`target`, a folder that `make` fills, under a lock, if it is not there or is not usable.

    `make` gets an empty folder on the same file system; `announce` is called before it. `usable` may
    ask for more than an unbroken seal: it is called before and after the lock is taken. Raises
    StoreError, beginning with `doing`, for a disk that is full, read-only or broken, RunEndedError,
    and what `make` raises; then there is no folder, or the one that was there.
    """
    try:
        if usable(target):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with in_turn(target.with_name(f"{target.name}.lock")):
            if not usable(target):
                announce()
                aside = target.parent / ASIDE
                sweep(aside)
                with aside_folder(aside) as unfinished:
                    folder = unfinished / "made"
                    folder.mkdir()
                    make(folder)
                    put_in_place(folder, target)
    except ConnectionError:
        raise  # an OSError, but not the disk's
    except OSError as error:
        raise refusal(target.parent, error, doing=doing) from error
    return target


def is_recent(folder: Path, seconds: float) -> bool:
    """Whether a folder is there, and younger; one from the future would be kept for ever."""
    return folder.is_dir() and 0 <= time.time() - folder.stat().st_mtime < seconds


def put_in_place(folder: Path, target: Path) -> None:
    """Seal a finished folder and rename it to `target`, in the place of what is there.

    Both lie on one file system, and nobody else may do the same meanwhile. Raises OSError, and
    StoreError where what is there cannot be removed.
    """
    seal_folder(folder)
    if target.exists():
        remove_tree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    just_sealed(target)


@contextlib.contextmanager
def writing_out(folder: Path) -> Iterator[None]:
    """Have the kernel write out what the file system of `folder` holds in memory; done at the end."""
    writing = threading.Thread(target=_write_out, args=(folder,))
    writing.start()
    try:
        yield
    finally:
        writing.join()


def _write_out(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            ctypes.CDLL(None).syncfs(handle)  # waits without Python's lock
        finally:
            os.close(handle)


@contextlib.contextmanager
def aside_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder below `parent`, removed at the end; what is to stay is renamed out of it."""
    folder = parent / uuid.uuid4().hex
    lock = folder.with_suffix(".lock")
    parent.mkdir(parents=True, exist_ok=True)
    held = hold_alone(lock, create=True)
    if held is None:
        raise StoreError(f"{lock} was taken by someone else", remedy="run it again")
    try:
        folder.mkdir()
        yield folder
    finally:
        remove_tree(folder)
        lock.unlink(missing_ok=True)
        os.close(held)


def sweep(parent: Path) -> int:
    """Remove what dead owners left below `parent`; the count of folders. Live ones stay."""
    count = 0
    for lock in parent.glob("*.lock"):
        held = hold_alone(lock)
        if held is None:
            continue
        try:
            count += lock.with_suffix("").exists()
            remove_tree(lock.with_suffix(""))
            lock.unlink(missing_ok=True)
        finally:
            os.close(held)
    return count


def remove_tree(folder: Path) -> None:
    """Remove a folder with everything in it; raises StoreError if that cannot be.

    A root that an ordinary user's run left half-made holds files of subordinate ids, which only
    the user namespace they were made in can remove. A killed run's last process may be a moment
    from its end, and so may still write: hence the attempts.
    """
    for attempt in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        _remove_inside_namespace(folder)
        time.sleep(0.1 * attempt)
    if folder.exists():
        raise StoreError(
            f"{folder} cannot be removed", remedy="remove it by hand, with root's rights if need be"
        )


def _remove_inside_namespace(folder: Path) -> None:
    if os.geteuid() != 0:
        with contextlib.suppress(ImageError):
            argv = contained(("rm", "-rf", "--", str(folder)))
            subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
