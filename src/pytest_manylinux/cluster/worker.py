"""A Dask worker that does trials: the plugin that makes it one, and the task that is sent to it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from distributed import Reschedule, Worker, get_client, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from pytest_manylinux.cluster.byte_transfer import stream
from pytest_manylinux.cluster.protocol import Answer, Order, encode_answer, failed, read_order
from pytest_manylinux.cluster.scheduling import Offer, resources
from pytest_manylinux.cluster.watchdog import Hands, Limit

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
