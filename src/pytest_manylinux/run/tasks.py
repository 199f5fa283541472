"""Runs the work of a run: coroutines, each once by key, whose blocking parts share a few threads.

The coroutines live in one event loop in a thread in the background. A coroutine that waits for another
one, or for another machine, takes no thread, so a pool of any size cannot lock up.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from operator import length_hint
from os import cpu_count, sched_getaffinity
from typing import Any, ParamSpec, TypeVar, cast

_P = ParamSpec("_P")
_T = TypeVar("_T")
Start = Callable[[], "Future[Any] | None"]
_FEW = 2  # cores
_AHEAD = 1000  # more than a run of some hundred wheels has, whose longest work can begin first
_PASSES = 10  # more than there are from the end of a task to the next turn of one that waited for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Tasks at one moment.

    `left` are those that have not ended, those that nobody has added yet included. `running` are keys
    with the seconds since they began, the longest first. `seconds` is how long the rest may take; None
    as long as there is nothing to go by.
    """

    left: int
    running: tuple[tuple[Hashable, float], ...]
    seconds: float | None


@dataclass(slots=True, eq=False)
class _Piece:
    """One key's work. `turn` is what it waits for while no thread is free for it.

    `task` is there as long as it runs, and where it failed; else `result` is what it gave.
    """

    key: Hashable
    weight: float
    order: int
    urgency: float = 0.0
    needs: list[_Piece] = field(default_factory=list)
    task: asyncio.Task[Any] | None = None
    result: Any = None
    turn: asyncio.Future[None] | None = None
    began: float = 0.0
    took: float | None = None


_CURRENT: ContextVar[_Piece | None] = ContextVar("_CURRENT", default=None)


def core_count() -> int:
    """Cores that this process may use."""
    try:
        return len(sched_getaffinity(0))
    except OSError:
        return cpu_count() or 1


class Tasks:
    """Coroutines by key, each run once; of their blocking parts `jobs` run at a time.

    A task's `weight` is the seconds that it took in earlier runs, 0 if nobody knows; its urgency is
    that and the urgency of the most urgent task that waits for it, so that the longest way begins
    first, and of equals the first added. `enter` is called once in each thread of the pool.

    `start`, `begin`, `overview` and `stop` are for other threads; `once`, `in_thread` and `elsewhere`
    are for coroutines. `places` tells how much work other machines do at once, for the estimate only.
    """

    def __init__(self, jobs: int, *, enter: Callable[[], None] | None = None) -> None:
        self.jobs = jobs or core_count()
        self.places: Callable[[], int] = lambda: 0
        self._executor = ThreadPoolExecutor(
            self.jobs, thread_name_prefix="manylinux", initializer=enter
        )
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._later = 0
        self._pieces: dict[Hashable, _Piece] = {}
        self._ready: list[tuple[float, int, int, _Piece]] = []
        self._order = count()
        self._pushes = count()
        self._free = self.jobs

    def start(self, work: Callable[[], Awaitable[_T]]) -> Future[_T]:
        """Call `work` in the loop and wait for what it gives there.

        The future is cancelled once this is stopped.
        """

        async def outcome() -> _T:
            return await work()

        with self._lock:
            if not self._stopped:
                return asyncio.run_coroutine_threadsafe(outcome(), self._running_loop())
        over: Future[_T] = Future()
        over.cancel()
        return over

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_serve, args=(self._loop,), name="manylinux-tasks")
            self._thread.daemon = True
            self._thread.start()
        return self._loop

    def begin(self, first: Sequence[Start], rest: Sequence[Start]) -> None:
        """Start work: `first` leads to the first verdict, and where cores are few `rest` waits for it.

        Making the root for one distro keeps two cores busy. Several at a time are not made sooner,
        and the first of them, which a person sits waiting for, is made later.

        Of `rest` at most `_AHEAD` have begun and not ended: each takes some kilobytes meanwhile.
        """
        futures = [start() for start in first]
        last = futures[-1] if futures else None
        self._later = len(rest)

        waiting = iter(rest)

        def add(_: object = None) -> None:
            """Start the next one, when another one has ended."""
            future = None
            while future is None and not self._stopped:
                start = next(waiting, None)
                self._later = length_hint(waiting)
                if start is None:
                    return
                future = start()
            if future is not None:
                future.add_done_callback(add)

        def go_on(_: object) -> None:
            for _begun in range(min(_AHEAD, len(rest))):
                add()

        if last is None or self.jobs > _FEW:
            go_on(None)
        else:
            last.add_done_callback(go_on)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._pieces

    def once(
        self, key: Hashable, work: Callable[[], Coroutine[Any, Any, _T]], *, weight: float = 0.0
    ) -> asyncio.Future[_T]:
        """Begin the task with this key, or give the one that has begun. Its errors may go unread."""
        piece = self._pieces.get(key)
        if piece is None:
            piece = self._pieces[key] = _Piece(key, weight, next(self._order), urgency=weight)
            piece.task = asyncio.get_running_loop().create_task(self._run(piece, work))
            piece.task.add_done_callback(partial(_ended, piece))
        if (needer := _CURRENT.get()) is not None:
            needer.needs.append(piece)
            self._hurry(needer)
        if piece.task is not None:
            return cast("asyncio.Future[_T]", piece.task)
        given: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        given.set_result(piece.result)
        return given

    def forget(self, key: Hashable) -> None:
        """Hold no longer what a task gave; whoever asks for its key again has it done again."""
        piece = self._pieces.get(key)
        if piece is not None and piece.took is not None:
            del self._pieces[key]

    async def _run(self, piece: _Piece, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        _CURRENT.set(piece)
        try:
            return await work()
        finally:
            piece.took = time.monotonic() - piece.began if piece.began else 0.0

    def _hurry(self, piece: _Piece) -> None:
        """Make what a task needs as urgent as the task makes it."""
        for need in piece.needs:
            urgency = need.weight + piece.urgency
            if need.took is None and urgency > need.urgency:
                need.urgency = urgency
                if need.turn is not None:
                    self._push(need)
                self._hurry(need)

    async def in_thread(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do blocking work in a thread of the pool, when it is this task's turn."""
        piece = _CURRENT.get()
        if piece is None:
            raise RuntimeError("only a task has a turn")
        await self._turn(piece)
        piece.began = piece.began or time.monotonic()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, partial(work, *args, **kwargs))
        finally:
            self._give_back(_PASSES)

    async def _turn(self, piece: _Piece) -> None:
        """Wait for a free thread; it is taken when this returns."""
        turn = piece.turn = asyncio.get_running_loop().create_future()
        self._push(piece)
        self._next()
        await turn

    def _give_back(self, passes: int) -> None:
        """Give a thread back after some passes of the loop, in which those who waited come forward."""
        if passes:
            asyncio.get_running_loop().call_soon(self._give_back, passes - 1)
        else:
            self._free += 1
            self._next()

    def _push(self, piece: _Piece) -> None:
        heappush(self._ready, (-piece.urgency, piece.order, next(self._pushes), piece))

    def _next(self) -> None:
        """Give free threads to those who wait, so that order stays ours to decide."""
        while self._free and self._ready:
            piece = heappop(self._ready)[-1]
            turn, piece.turn = piece.turn, None
            if turn is not None and not turn.done():
                self._free -= 1
                turn.set_result(None)

    async def elsewhere(self, future: Future[_T]) -> _T:
        """Wait for work of another machine; it is cancelled when all is stopped."""
        return await asyncio.wrap_future(future)

    def overview(self) -> Overview:
        """What is done and what is left now."""
        now = time.monotonic()
        pieces = list(self._pieces.values())
        left = [piece for piece in pieces if piece.took is None]
        began = [(piece.key, now - piece.began) for piece in left if piece.began]
        return Overview(
            left=len(left) + self._later,
            running=tuple(sorted(began, key=lambda found: -found[1])),
            seconds=None if self._later else self._estimate(pieces, left, now),
        )

    def _estimate(
        self, pieces: Sequence[_Piece], unfinished: Sequence[_Piece], now: float
    ) -> float | None:
        """Seconds for those left: each as long as it once took, or as its kind takes in this run."""
        seen: dict[object, list[float]] = {}
        for piece in pieces:
            if piece.took is not None:
                seen.setdefault(_kind(piece), []).append(piece.took)
        usual = {kind: statistics.median(times) for kind, times in seen.items()}
        if any(not piece.weight and _kind(piece) not in usual for piece in unfinished):
            return None
        whole = [piece.weight or usual[_kind(piece)] for piece in unfinished]
        spent = [now - piece.began if piece.began else 0.0 for piece in unfinished]
        left = [max(one - gone, 0.0) for one, gone in zip(whole, spent, strict=True)]
        return max(sum(left) / (self.jobs + self.places()), max(left, default=0.0))

    def stop(self) -> None:
        """Start nothing more; what has not ended is cancelled. Running threads are not waited for."""
        with self._lock:
            self._stopped = True
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
        self._executor.shutdown(wait=False, cancel_futures=True)


def _ended(piece: _Piece, task: asyncio.Task[Any]) -> None:
    """Keep what a task gave, and not the task: it is ten times as large. Its error may go unread."""
    if not task.cancelled() and task.exception() is None:
        piece.result, piece.task = task.result(), None
        piece.needs.clear()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, then cancel what is left in it."""
    try:
        loop.run_forever()
        loop.run_until_complete(_cancel(asyncio.all_tasks(loop)))
    finally:
        loop.close()


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _kind(piece: _Piece) -> object:
    """What tasks that take about as long have in common: the first part of their keys."""
    return piece.key[0] if isinstance(piece.key, tuple) else piece.key
