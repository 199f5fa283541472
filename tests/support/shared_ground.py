"""What the workers of one run of pytest-xdist share: the first makes it, the last takes it away."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import filelock

from pytest_manylinux.cache.locks import hold_alone, hold_shared


@contextmanager
def shared_ground(
    name: str, make: Callable[[Path], object], remove: Callable[[Path], object]
) -> Iterator[Path]:
    """A folder that `make` has filled, for this process and those of the same run.

    `remove` is called by the last process that leaves, whoever made it, and the folder goes. Each
    holds a lock while it is there, so that one that was killed is not waited for. Without pytest-xdist
    nobody else has the folder.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or os.urandom(16).hex()
    folder = Path(tempfile.gettempdir(), f"{name}-{run[:12]}")
    used = folder / "used"
    door = filelock.FileLock(Path(tempfile.gettempdir(), f"{name}-{os.geteuid()}.lock"))  # it stays
    with door:
        if not used.exists():
            folder.mkdir(mode=0o700)
            try:
                make(folder)
            except BaseException:
                _clear(folder, remove)
                raise
            used.touch()
        held = hold_shared(used)
        assert held is not None, "only who has the door holds it alone"
    try:
        yield folder
    finally:
        with door:
            os.close(held)
            last = hold_alone(used)
            if last is not None:
                os.close(last)
                _clear(folder, remove)


def _clear(folder: Path, remove: Callable[[Path], object]) -> None:
    try:
        remove(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Stay:
    """What a process holds until its last test has run; what one test puts there serves the next."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folders: dict[str, Path] = {}

    def on(self, name: str, make: Callable[[Path], object], remove: Callable[[Path], object]) -> Path:
        """The folder of `shared_ground`, entered by whoever asks first."""
        if name not in self._folders:
            self._folders[name] = self._stack.enter_context(shared_ground(name, make, remove))
        return self._folders[name]

    def end(self) -> None:
        """Leave them all."""
        self._folders.clear()
        self._stack.close()


STAY = Stay()  # of this process; conftest.py ends it
