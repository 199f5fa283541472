"""Faults of our own: one line for people, and a saved traceback for those who look into it."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from pytest_manylinux import __version__
from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.errors import InternalError, ManylinuxError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_KEPT = 50  # files; the oldest go
_FOLDER = "tracebacks"
_OUTCOMES = (
    pytest.UsageError,
    pytest.Collector.CollectError,
    pytest.Session.Failed,
    pytest.Session.Interrupted,
)
"""What pytest knows how to tell; its other outcomes are BaseExceptions."""


def internal_error(error: BaseException, doing: str) -> InternalError:
    """The error that stands for an exception nobody foresaw, raised while `doing` (a name or id)."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    first = next(iter(str(error).splitlines()), "")
    words = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return InternalError(f"internal error in {doing}: {words}{where}; traceback: {_save(error, doing)}")


def _save(error: BaseException, doing: str) -> str:
    """The path of a new file with the traceback, in the cache or else with temporary files."""
    text = "".join(
        (
            f"pytest-manylinux {__version__}, Python {platform.python_version()}, {doing}\n\n",
            *traceback.format_exception(error),
        )
    )
    for folder in (cache_root() / _FOLDER, Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            stamp = time.strftime("%Y%m%d-%H%M%S-")
            descriptor, name = tempfile.mkstemp(".txt", f"manylinux-{stamp}", folder)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            _forget_old(folder)
            return name
    return "not saved, since no folder takes files"


def _forget_old(folder: Path) -> None:
    if folder.name == _FOLDER:
        for old in sorted(folder.glob("manylinux-*.txt"))[:-_KEPT]:
            old.unlink(missing_ok=True)


@contextmanager
def foreseen(doing: str) -> Iterator[None]:
    """Turn what nobody foresaw into an InternalError; our own errors and pytest's outcomes pass."""
    try:
        yield
    except (ManylinuxError, *_OUTCOMES):
        raise
    except Exception as error:
        raise internal_error(error, doing) from error


def guarded(hook: Callable[_P, _T]) -> Callable[_P, _T]:
    """A hook of ours whose errors end the session with their words, not with INTERNALERROR."""

    @functools.wraps(hook)
    def guard(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            with foreseen(hook.__name__):
                return hook(*args, **kwargs)
        except ManylinuxError as error:
            pytest.exit(str(error), returncode=error.exit_code)

    return guard


def tell(error: InternalError) -> None:
    """Say it where no session is left to end."""
    print(f"pytest-manylinux: {error}", file=sys.stderr)  # noqa: T201
