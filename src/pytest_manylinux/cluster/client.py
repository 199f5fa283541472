"""The cluster as one run sees it: trials are sent, answers come back as futures.

Dask's own scheduler decides which of the workers that fit does a trial, and has it done elsewhere if
the worker dies, so often as its setting `distributed.scheduler.allowed-failures` says. What it does
not do is decided here: a trial that no worker fits ends after a while, with the reason.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
import warnings
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pytest_manylinux.cluster import quieten
from pytest_manylinux.cluster.protocol import Answer, Order, encode_order, read_answer
from pytest_manylinux.cluster.scheduling import ClusterWorker, asked, fitting, member, misfit
from pytest_manylinux.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture
    from tornado.ioloop import IOLoop

    from pytest_manylinux.cluster.byte_transfer import Supply

CONNECT = 15.0
"""Seconds within which the scheduler has to answer."""

_TICK = 0.5  # seconds between two looks at the workers
# What comes back may be bytes and plain values only: nothing that a worker pickled is taken.
_TAKEN = ["dask", "msgpack"]


@dataclass(slots=True)
class _Pending:
    """A trial that is not done. `alone` is since when no worker fits; None while one does."""

    order: bytes
    needs: frozenset[str]
    answer: Future[Answer]
    sent: DaskFuture[bytes] | None = None
    alone: float | None = None
    ended: bool = False


def connect(address: str, *, wait: float) -> Cluster:
    """The cluster at a scheduler's address; raises ClusterError if it does not answer in time.

    `wait` is how many seconds a trial waits for a worker that fits. Encryption and authentication are
    as Dask's own configuration says (distributed.comm.tls, distributed.comm.require-encryption).
    """
    from distributed import Client  # noqa: PLC0415 - an extra, and slow to import

    quieten()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other versions of Dask's own parts; ours are compared
            client = Client(
                address,
                timeout=CONNECT,
                set_as_default=False,
                name="pytest-manylinux",
                serializers=_TAKEN,
                deserializers=_TAKEN,
            )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise unreachable(address, error) from error
    return Cluster(client, address, wait=wait)


def unreachable(address: str, error: BaseException) -> ClusterError:
    """The error for a scheduler that does not answer."""
    return ClusterError(
        f"no Dask scheduler answers at {address}",
        why=first_cause(error),
        remedy="start one (`dask scheduler`), or name the address that it prints; for tls:// see "
        "that Dask's configuration names the certificates",
    )


def first_cause(error: BaseException) -> str:
    """What Dask's own errors came from, in words."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


class Cluster:
    """A scheduler with its workers. Thread-safe."""

    def __init__(self, client: Client, address: str, *, wait: float) -> None:
        from pytest_manylinux.cluster.byte_transfer import Supply  # noqa: PLC0415 - it imports the extra

        self.address = address
        self.run = uuid.uuid4().hex
        self._client = client
        self._wait = wait
        self._pending: list[_Pending] = []
        self._members: tuple[ClusterWorker, ...] = ()
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self.supply: Supply = Supply(client, self.run)
        self.members()
        threading.Thread(target=self._watch, name="manylinux-cluster", daemon=True).start()

    def members(self) -> tuple[ClusterWorker, ...]:
        """The workers that there are now, ours or not."""
        with contextlib.suppress(Exception):  # no scheduler: the trials that are sent tell
            # Not by `scheduler_info`: it gives what the client's own periodic question, which wants no
            # workers, may have put in the answer's place; see dask_scheduler_info_without_workers.sh
            # in findings/.
            scheduler: Any = self._client.scheduler
            found = self._client.sync(scheduler.identity, n_workers=-1)["workers"]
            self._members = tuple(
                member(str(worker["name"]), worker.get("resources") or {}) for worker in found.values()
            )
        return self._members

    @property
    def places(self) -> int:
        """Trials that the workers do at once, together."""
        return sum(one.places for one in self._members)

    def submit(self, order: Order, needs: frozenset[str]) -> Future[Answer]:
        """Send a trial to a worker that fits, now or as soon as there is one.

        The future gives the answer, checked. It raises ClusterError where no worker fits, where all
        tries ended with the worker, and where the answer is none.
        """
        pending = _Pending(encode_order(order), needs, Future(), alone=time.monotonic())
        with self._lock:
            if self._closed.is_set():
                raise ClusterError("the run has ended")
            self._pending.append(pending)
        pending.answer.add_done_callback(lambda _: self._forget(pending))
        self._look_at(pending, self._members)
        return pending.answer

    def _look_at(self, pending: _Pending, members: tuple[ClusterWorker, ...]) -> None:
        """Send what can be sent now, and give up what has waited too long."""
        fits = bool(fitting(pending.needs, members))
        with self._lock:
            if fits and pending.sent is None and not pending.answer.done():
                pending.sent = self._send(pending)
            if fits:
                pending.alone = None
                return
            pending.alone = pending.alone or time.monotonic()
            if time.monotonic() - pending.alone < self._wait:
                return
        self._end(pending, error=self._no_worker(pending, members))

    def _no_worker(self, pending: _Pending, members: tuple[ClusterWorker, ...]) -> ClusterError:
        return ClusterError(
            f"no worker of {self.address} fits this trial",
            why=misfit(pending.needs, members),
            remedy="start one that does: `pytest-manylinux worker`; --manylinux-dask-wait says how "
            "long to wait for it",
        )

    def _send(self, pending: _Pending) -> DaskFuture[bytes]:
        from pytest_manylinux.cluster.worker import perform  # noqa: PLC0415 - it imports the extra

        sent = self._client.submit(perform, pending.order, pure=False, resources=asked(pending.needs))
        # Not by Dask's executor: its futures never end where an answer cannot be taken.
        cast("IOLoop", self._client.loop).add_callback(self._relay, pending, sent)
        return sent

    async def _relay(self, pending: _Pending, sent: DaskFuture[bytes]) -> None:
        """Wait for what Dask brings, and end the trial with it, whatever it is."""
        try:
            answer = read_answer(await sent, pending.order)
        except ClusterError as error:
            self._end(pending, error=error)
        except CancelledError:
            self._end(pending, error=_lost(self.address, "the scheduler forgot it, or went away"))
        except Exception as error:  # noqa: BLE001 - Dask's word on tries that all ended with the worker
            why = f"{type(error).__name__}: {error}"
            told = sent.status == "finished"  # a worker has answered, but the answer was not taken
            self._end(pending, error=(_refused if told else _lost)(self.address, why))
        else:
            self._end(pending, answer=answer)

    def _end(
        self, pending: _Pending, *, answer: Answer | None = None, error: ClusterError | None = None
    ) -> None:
        with self._lock:
            if pending.ended or not pending.answer.set_running_or_notify_cancel():
                return
            pending.ended = True
        # Outside of the lock: whoever hears it may ask for more.
        if answer is None:
            pending.answer.set_exception(error)
        else:
            pending.answer.set_result(answer)

    def _forget(self, pending: _Pending) -> None:
        with self._lock:
            if pending in self._pending:
                self._pending.remove(pending)
        if pending.sent is not None and not pending.sent.done():
            pending.sent.cancel()

    def _watch(self) -> None:
        while not self._closed.wait(_TICK):
            with self._lock:
                waiting = list(self._pending)
            if waiting:
                members = self.members()
                for pending in waiting:
                    self._look_at(pending, members)

    def close(self) -> None:
        """Send nothing more; trials that workers have not begun are taken back."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            waiting = list(self._pending)
        for pending in waiting:
            pending.answer.cancel()
        self.supply.close()
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)


def _refused(address: str, why: str) -> ClusterError:
    return ClusterError(
        f"the answer of a worker of {address} was refused",
        why=why,
        remedy="see who works there: a worker of ours answers with bytes, and nothing else is read",
    )


def _lost(address: str, why: str) -> ClusterError:
    return ClusterError(
        f"the cluster {address} lost this trial",
        why=why,
        remedy="see the workers' log: a wheel that takes a machine's memory takes its worker along",
    )
