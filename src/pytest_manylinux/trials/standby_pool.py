"""Trials in containers that wait ready for them: started while other trials run, used once.

Each holds the distro's pip imported, in a sandbox that has seen nothing else, and goes with its one
trial. So many are kept waiting for an image as trials on it are known to come, within bounds. Anything
odd gives no answer at all, and the trial is done the long way.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from typing import TypeAlias

from pytest_manylinux.engines.api import Completed, Standby
from pytest_manylinux.errors import ManylinuxError, SandboxError

Key: TypeAlias = tuple[str, str]
Start = Callable[[], Standby]
Run = Callable[[Standby], "Completed | None"]

_ALL = 16  # of all images together, each some 50 MB of memory


@dataclass(slots=True)
class _Shelf:
    """Those that wait or are being started, by image and interpreter; keys that had trouble."""

    waiting: dict[Key, list[Future[Standby]]] = field(default_factory=dict)
    troubled: set[Key] = field(default_factory=set)
    closed: bool = False


class Standbys:
    """Programs that wait in containers for one trial each. Thread-safe."""

    def __init__(self) -> None:
        self._shelf = _Shelf()
        self._lock = threading.Lock()
        self._cores = max(cpu_count() or 1, 2)
        self._makers = ThreadPoolExecutor(self._cores, thread_name_prefix="standby")
        self._removers = ThreadPoolExecutor(1, thread_name_prefix="standby-end")

    def attempt(self, key: Key, start: Start, run: Run, more: int) -> Completed | None:
        """How a run ended in one that waited, or that is started now; None: do it the long way.

        `more` is how many runs with this key are known to come: for some of them others are started.
        Raises SandboxError once this is closed: then nothing is to be begun any more.
        """
        try:
            standby = self._take(key, start, more)
        except (ManylinuxError, OSError):
            self._check_open()
            self._shelf.troubled.add(key)
            return None
        if standby is None:
            return None
        try:
            completed = run(standby)
        finally:
            self._part_with(standby)
        if completed is None or not completed.ok:
            self._check_open()
            return None
        return completed

    def _take(self, key: Key, start: Start, more: int) -> Standby | None:
        with self._lock:
            self._check_open()
            if key in self._shelf.troubled:
                return None
            waiting = self._shelf.waiting.setdefault(key, [])
            mine = waiting.pop(0) if waiting else None
            for _ in range(self._wanted(more) - len(waiting)):
                waiting.append(self._makers.submit(self._make, start))
        return start() if mine is None else mine.result()

    def _wanted(self, more: int) -> int:
        """How many of one image are to wait: as many as can run at once, fewer if images are many."""
        shelf = self._shelf.waiting
        most = min(more, self._cores, max(_ALL // len(shelf), 1))
        return most if sum(map(len, shelf.values())) + most <= _ALL else 0

    def _make(self, start: Start) -> Standby:
        """Start one ahead; not if all is over by then."""
        self._check_open()
        standby = start()
        if self._shelf.closed:
            standby.close()
        return standby

    def _check_open(self) -> None:
        if self._shelf.closed:
            raise SandboxError("the trial was cut short", why="the run has ended")

    def _part_with(self, standby: Standby) -> None:
        """Have it removed; nobody waits for that but the end of the run."""
        try:
            self._removers.submit(_end, standby)
        except RuntimeError:  # closed meanwhile
            _end(standby)

    def _forgo(self, future: Future[Standby]) -> None:
        if not future.cancel():
            future.add_done_callback(_end_made)

    def close(self) -> None:
        """End all that wait, and return when they and all that were used are gone."""
        with self._lock:
            self._shelf.closed = True
            waiting, self._shelf.waiting = self._shelf.waiting, {}
        for future in [future for futures in waiting.values() for future in futures]:
            self._forgo(future)
        self._makers.shutdown(wait=True)
        self._removers.shutdown(wait=True)


def _end(standby: Standby) -> None:
    with contextlib.suppress(ManylinuxError, OSError):
        standby.close()


def _end_made(future: Future[Standby]) -> None:
    if not future.cancelled() and future.exception() is None:
        _end(future.result())
