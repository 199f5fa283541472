"""A Dask worker that does trials: the plugin that makes it one, the task that is sent to it, its limit.

What a trial waits for has limits of its own, at the places where it waits. The limit here is for what
has none: an engine that hangs without a word. A worker whose process does not go on is not seen from
here; the scheduler misses its heartbeats (Dask's `distributed.scheduler.worker-ttl`).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar, cast

from distributed import Reschedule, Worker, get_client, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from pytest_manylinux.cluster.byte_transfer import stream
from pytest_manylinux.cluster.protocol import Answer, Order, encode_answer, failed, read_order
from pytest_manylinux.cluster.scheduling import Offer, resources
from pytest_manylinux.errors import EngineError

PREPARING = 1800.0
"""Seconds in which a preparation moves on: twice the silence that a making of a root may keep."""
MARGIN = 900.0
"""Seconds for all that a trial does beside its commands: its environment, the engine's own waits."""

_LOOK_UP = 1.0  # seconds between two looks at the limit: a later stage may have less time than is left

T = TypeVar("T")


class Limit:
    """Seconds until what a worker is at counts as hung. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stage("begin", PREPARING)

    def stage(self, doing: str, seconds: float) -> None:
        """From now on `doing` is waited for, that long."""
        with self._lock:
            self._doing, self._seconds, self._since = doing, seconds, time.monotonic()

    def restart(self) -> None:
        """What is waited for has moved on: count anew."""
        with self._lock:
            self._since = time.monotonic()

    def left(self) -> float:
        """Seconds that are left, none if 0 or less."""
        with self._lock:
            return self._since + self._seconds - time.monotonic()

    def error(self) -> EngineError:
        """What a trial ends with that was over the limit."""
        return EngineError(
            f"could not {self._doing} within {self._seconds:.0f} s, and gave it up",
            why="the engine of that machine, or its disk, does not answer",
            remedy="see `pytest-manylinux doctor` there, start that worker again, and run it again",
        )


class Hand(Generic[T]):
    """Does work in one thread, the same one each time, for whoever does not wait for ever.

    The thread stays: programs that it started may be bound to its life.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Callable[[], T], Future[T]]] = SimpleQueue()
        self.given_up = False
        threading.Thread(target=self._serve, name="manylinux-hand", daemon=True).start()

    def _serve(self) -> None:
        while True:
            work, future = self._work.get()
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)

    def do(self, work: Callable[[], T], limit: Limit) -> T:
        """Do work; raises what it raises, and EngineError over the limit: use another hand then."""
        future: Future[T] = Future()
        self._work.put((work, future))
        while not future.done():
            if (left := limit.left()) <= 0:
                self.given_up = True
                raise limit.error()
            wait([future], timeout=min(left, _LOOK_UP))
        return future.result()


class Hands(Generic[T]):
    """A hand for each thread that asks, another one after one that was given up."""

    def __init__(self) -> None:
        self._own = threading.local()

    def do(self, work: Callable[[], T], limit: Limit) -> T:
        """See `Hand.do`."""
        hand: Hand[T] | None = getattr(self._own, "hand", None)
        if hand is None or hand.given_up:  # such a one is left to its work, with its thread
            hand = self._own.hand = Hand()
        return hand.do(work, limit)


NAME = "pytest-manylinux"
Stream = Callable[[str], Iterable[bytes]]


class TrialExecutor(Protocol):
    """What a worker has to do trials with. Thread-safe."""

    @property
    def offer(self) -> Offer:
        """What it has."""

    def do(self, order: Order, stream: Stream, *, worker: str, limit: Limit) -> Answer:
        """Do a trial; `stream` brings what is not here, by digest. Raises ManylinuxErrors.

        `limit` is to be told what comes next, and how long it may take.
        """

    def close(self) -> None:
        """End all that is at work."""


class TrialPlugin(WorkerPlugin):
    """Makes a Dask worker one of ours: it offers what `executor` has, and does the trials with it."""

    name = NAME

    def __init__(self, executor: TrialExecutor) -> None:
        self.executor = executor
        self._ending = threading.Event()
        self._hands: Hands[Answer] = Hands()

    def setup(self, worker: Worker) -> None:
        """Offer what there is, before the scheduler hears of the worker."""
        offered = resources(self.executor.offer, worker.state.nthreads)
        worker.state.total_resources.update(offered)
        worker.state.available_resources.update(offered)

    def teardown(self, worker: Worker) -> None:
        """End what is at work; Dask has it done elsewhere."""
        del worker
        self.end()

    def end(self) -> None:
        """Do nothing more, and end what is at work."""
        if not self._ending.is_set():
            self._ending.set()
            self.executor.close()

    def perform(self, content: bytes, worker: Worker) -> bytes:
        """Do a trial, within its limit. A worker that is told to end leaves it to another one."""
        name = str(worker.name)
        answer: Answer
        try:
            order, limit = read_order(content), Limit()
            client = get_client()  # known in Dask's own threads only

            def bring(digest: str) -> Iterable[bytes]:
                return stream(client, order.run, digest, f"{NAME}-{uuid.uuid4().hex}")

            answer = self._hands.do(
                lambda: self.executor.do(order, bring, worker=name, limit=limit), limit
            )
        except Exception as error:  # noqa: BLE001 - told to whoever asked, and never a pass
            answer = failed(error, name)
        if self._ending.is_set():
            raise Reschedule
        return encode_answer(answer, content)


def perform(content: bytes) -> bytes:
    """The task that is sent to workers: an order in, an answer out."""
    worker: Any = get_worker()
    return cast("TrialPlugin", worker.plugins[NAME]).perform(content, worker)
