"""Folders for unfinished work: each has an owner for as long as the owner lives."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pytest_manylinux.cache.locks import hold_alone
from pytest_manylinux.errors import ImageError, StoreError
from pytest_manylinux.host.containment import contained

_ATTEMPTS = 5


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
