"""Work done once by several processes of one run (pytest-xdist's workers)."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from pytest_manylinux.cache.disk_errors import room_errors
from pytest_manylinux.cache.locks import in_turn
from pytest_manylinux.errors import ManylinuxError

_T = TypeVar("_T")


def once(folder: Path | None, key: tuple[str, ...], work: Callable[[], _T]) -> _T:
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
                fresh = result.with_suffix(".new")
                fresh.write_bytes(pickle.dumps(outcome))
                fresh.replace(result)  # half of it would be no result
    if isinstance(outcome, ManylinuxError):
        raise outcome
    return cast("_T", outcome)


def _attempt(work: Callable[[], _T]) -> _T | ManylinuxError:
    try:
        return work()
    except ManylinuxError as error:
        return error
