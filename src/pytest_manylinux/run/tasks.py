"""Runs the work of a run: a graph of tasks on a `concurrent.futures` executor.

A task starts when all that it needs has ended, whether well or badly: it is handed the futures of
its needs and decides for itself what a failed one means. Nothing waits inside a thread, so a pool
of any size cannot lock up; nor does work that goes on elsewhere (`Away`).
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from os import cpu_count, sched_getaffinity
from typing import Any

Needs = Sequence["Future[Any]"]
Work = Callable[[Needs], Any]
Start = Callable[[], "Future[Any] | None"]
_FEW = 2  # cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """What a task gives whose work goes on elsewhere, on another machine.

    The task takes no place here until `future` has ended, well or badly; `then` is given that future
    and finishes the work here.
    """

    future: Future[Any]
    then: Callable[[Future[Any]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A graph at one moment.

    `left` are tasks that have not ended, those that nobody has added yet included. `running` are keys
    with the seconds since they began, the longest first. `seconds` is how long the rest may take; None
    as long as there is nothing to go by.
    """

    left: int
    running: tuple[tuple[Hashable, float], ...]
    seconds: float | None


@dataclass(slots=True)
class _Task:
    key: Hashable
    work: Work
    needs: tuple[_Task, ...]
    weight: float
    order: int
    future: Future[Any] = field(default_factory=Future)
    waiting: int = 0
    urgency: float = 0.0
    handed: bool = False
    began: float = 0.0
    took: float | None = None
    away: Future[Any] | None = None


def core_count() -> int:
    """Cores that this process may use."""
    try:
        return len(sched_getaffinity(0))
    except OSError:
        return cpu_count() or 1


class Graph:
    """Tasks by key, each run once; of those ready the most urgent begins, then the first added.

    A task's `weight` is the seconds that it took in earlier runs, 0 if nobody knows; its urgency is
    that and the urgency of the most urgent task that needs it, so that the longest way begins first.

    `enter` is called once in each thread before its first task.

    `add` in any order as long as needs are there before whoever needs them. Thread-safe. `elsewhere`
    tells how many places there are for work that is away, for the estimate only.
    """

    def __init__(
        self,
        jobs: int,
        executor: Executor | None = None,
        *,
        enter: Callable[[], None] | None = None,
    ) -> None:
        self.jobs = jobs or core_count()
        self.elsewhere: Callable[[], int] = lambda: 0
        self._executor = executor or ThreadPoolExecutor(
            self.jobs, thread_name_prefix="manylinux", initializer=enter
        )
        self._lock = threading.RLock()
        self._tasks: dict[Hashable, _Task] = {}
        self._ready: list[tuple[float, int, _Task]] = []
        self._order = count()
        self._running = 0
        self._stopped = False
        self._later = 0

    def add(
        self, key: Hashable, work: Work, *, needs: Sequence[Hashable] = (), weight: float = 0.0
    ) -> Future[Any]:
        """Add a task, or give the future of the one that already has this key."""
        with self._lock:
            if key in self._tasks:
                return self._tasks[key].future
            task = _Task(key, work, tuple(self._tasks[n] for n in needs), weight, next(self._order))
            self._tasks[key] = task
            task.waiting = len(task.needs)
            task.urgency = weight
            self._hurry(task)
        for need in task.needs:
            need.future.add_done_callback(partial(self._need_ended, task))
        if not task.needs:
            self._push(task)
        return task.future

    def _hurry(self, task: _Task) -> None:
        """Make what a task needs as urgent as the task makes it; with the lock held."""
        for need in task.needs:
            urgency = need.weight + task.urgency
            if urgency > need.urgency:
                need.urgency = urgency
                if need.waiting == 0 and not need.handed:
                    heappush(self._ready, (-urgency, need.order, need))
                self._hurry(need)

    def begin(self, first: Sequence[Start], rest: Sequence[Start]) -> None:
        """Start work: `first` leads to the first verdict, and where cores are few `rest` waits for it.

        Making the root for one distro keeps two cores busy. Several at a time are not made sooner,
        and the first of them, which a person sits waiting for, is made later.
        """
        futures = [start() for start in first]
        last = futures[-1] if futures else None

        self._later = len(rest)

        def go_on(_: object) -> None:
            self._later = 0
            for start in rest:
                if not self._stopped:
                    start()

        if last is None or self.jobs > _FEW:
            go_on(None)
        else:
            last.add_done_callback(go_on)

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._tasks

    def overview(self) -> Overview:
        """What is done and what is left now."""
        now = time.monotonic()
        with self._lock:
            tasks = [task for task in self._tasks.values() if task.took is None]
            began = [(task.key, now - task.began) for task in tasks if task.began]
            return Overview(
                left=len(tasks) + self._later,
                running=tuple(sorted(began, key=lambda found: -found[1])),
                seconds=None if self._later else self._estimate(tasks, now),
            )

    def _estimate(self, tasks: Sequence[_Task], now: float) -> float | None:
        """Seconds for `tasks`: each as long as it once took, or as its kind takes in this run."""
        seen: dict[object, list[float]] = {}
        for task in self._tasks.values():
            if task.took is not None:
                seen.setdefault(_kind(task), []).append(task.took)
        usual = {kind: statistics.median(times) for kind, times in seen.items()}
        if any(not task.weight and _kind(task) not in usual for task in tasks):
            return None
        whole = [task.weight or usual[_kind(task)] for task in tasks]
        spent = [now - task.began if task.began else 0.0 for task in tasks]
        left = [max(one - gone, 0.0) for one, gone in zip(whole, spent, strict=True)]
        return max(sum(left) / (self.jobs + self.elsewhere()), max(left, default=0.0))

    def stop(self) -> None:
        """Start nothing more; what has not begun is cancelled. Running work is not waited for."""
        with self._lock:
            self._stopped = True
            self._ready.clear()
            tasks = list(self._tasks.values())
        for task in tasks:
            task.future.cancel()
            if task.away is not None:
                task.away.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _need_ended(self, task: _Task, _: Future[Any]) -> None:
        with self._lock:
            task.waiting -= 1
            ready = task.waiting == 0
        if ready:
            self._push(task)

    def _push(self, task: _Task) -> None:
        with self._lock:
            heappush(self._ready, (-task.urgency, task.order, task))
        self._feed()

    def _feed(self) -> None:
        """Hand tasks to the executor while it has room, so that order stays ours to decide."""
        while True:
            with self._lock:
                if self._stopped or not self._ready or self._running >= self.jobs:
                    return
                task = heappop(self._ready)[2]
                if not _may_go_on(task):
                    continue
                self._running += 1
            try:
                self._executor.submit(self._run, task)
            except RuntimeError:
                task.future.set_exception(CancelledError())
                return

    def _run(self, task: _Task) -> None:
        task.began = task.began or time.monotonic()
        outcome: Any = None
        try:
            outcome = task.work([n.future for n in task.needs])
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the task
            end = partial(task.future.set_exception, error)
        else:
            end = partial(task.future.set_result, outcome)
        with self._lock:
            self._running -= 1
            if not isinstance(outcome, Away):
                task.took = time.monotonic() - task.began
        if isinstance(outcome, Away):
            self._send_away(task, outcome)
        else:
            end()
        self._feed()

    def _send_away(self, task: _Task, away: Away) -> None:
        """Have a task go on when what it waits for has come."""
        task.work = lambda _: away.then(away.future)
        task.away = away.future
        away.future.add_done_callback(partial(self._is_back, task))

    def _is_back(self, task: _Task, _: Future[Any]) -> None:
        with self._lock:
            stopped, task.handed = self._stopped, False
        if stopped:
            task.future.set_exception(CancelledError())
        else:
            self._push(task)


def _may_go_on(task: _Task) -> bool:
    """Whether a task that is ready is to run now, and has not been handed out already."""
    if task.handed:
        return False
    task.handed = True
    return task.away is not None or task.future.set_running_or_notify_cancel()


def _kind(task: _Task) -> object:
    """What tasks that take about as long have in common: the first part of their keys."""
    return task.key[0] if isinstance(task.key, tuple) else task.key
