"""Folders that are made once and shared by runs and threads at the same time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_manylinux.cache.disk_errors import refusal
from pytest_manylinux.cache.integrity import is_whole, seal_folder
from pytest_manylinux.cache.locks import in_turn
from pytest_manylinux.cache.staging import remove_tree


def make_once(target: Path, make: Callable[[Path], None], *, announce: Callable[[], None]) -> Path:
    """`target`, made by `make` in a folder beside it, under a lock, if it is not there or is damaged.

    Raises StoreError for a folder that is full or read-only, and what `make` raises.
    """
    if is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with in_turn(target.with_name(f"{target.name}.lock")):
            if not is_whole(target):
                announce()
                with _aside(target) as folder:
                    make(folder)
                    seal_folder(folder)
                    remove_tree(target)
                    folder.rename(target)
    except OSError as error:
        doing = f"the tools for builds cannot be kept in {target.parent}"
        raise refusal(target.parent, error, doing=doing) from error
    return target


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A new folder beside `target`; what an interrupted run left of earlier ones goes first."""
    for left in target.parent.glob(f".part-{target.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".part-{target.name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
