"""A real scheduler, and workers in this process whose duties are made up."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import dask
import pytest
from distributed import LocalCluster, Worker
from trial_values import imported, make_observation, make_target

from pytest_manylinux.cluster.byte_transfer import PIECE, file_source
from pytest_manylinux.cluster.client import Cluster, connect
from pytest_manylinux.cluster.protocol import Answer, Failed, Order, Part, RemoteResult, error_of
from pytest_manylinux.cluster.scheduling import Offer, needs
from pytest_manylinux.cluster.worker import Limit, Stream, TrialPlugin
from pytest_manylinux.errors import ClusterError, EngineError, ImageError
from pytest_manylinux.model.observation import ImportDepth

WAIT = 1.0
Do = Callable[[Order, Stream], None]


class MadeUp:
    """A duty that sees whatever it is asked about, after `do`."""

    def __init__(self, do: Do, arch: str = "x86_64") -> None:
        self._do = do
        self.done: list[str] = []
        self.seconds = 60.0
        self.ended = threading.Event()
        self.offer = Offer(
            arch=arch, engine="bubblewrap", engine_version="0.8.0", registry=False, distros=()
        )

    def do(self, order: Order, stream: Stream, *, worker: str, limit: Limit) -> Answer:
        limit.stage("see", self.seconds)
        self.done.append(order.wheel.filename)
        self._do(order, stream)
        observation = make_observation(imported(), target=order.target.id)
        return RemoteResult(worker=worker, engine="bubblewrap 0.8.0", observation=observation)

    def close(self) -> None:
        self.ended.set()


def nothing(order: Order, stream: Stream) -> None:
    """See at once."""


class Ground:
    """A scheduler to which workers are added."""

    def __init__(self, local: LocalCluster) -> None:
        self._local = local
        self.address = str(local.scheduler_address)
        self._workers: list[Worker] = []

    def add(self, name: str, duty: MadeUp | Lying) -> Worker:
        plugin = TrialPlugin(duty) if isinstance(duty, MadeUp) else duty

        async def start() -> Worker:
            worker: Worker = await Worker(
                self.address, name=name, nthreads=1, plugins=(plugin,), dashboard=False
            )
            return worker

        worker: Worker = self._local.sync(start)
        self._workers.append(worker)
        return worker

    def end(self, worker: Worker) -> None:
        self._local.sync(worker.close, executor_wait=False)

    def close(self) -> None:
        for worker in self._workers:
            self.end(worker)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "temporary-directory": str(tmp_path),
        "distributed.worker.memory.terminate": False,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=0,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as local,
    ):
        ground = Ground(local)
        yield ground
        ground.close()


@pytest.fixture
def cluster(ground: Ground) -> Iterator[Cluster]:
    found = connect(ground.address, wait=WAIT)
    yield found
    found.close()


def order(cluster: Cluster, name: str = "demo", sha256: str = "0" * 64) -> Order:
    return Order(
        run=cluster.run,
        wheel=Part(filename=f"{name}-1.0-py3-none-any.whl", sha256=sha256),
        target=make_target(),
        root=None,
        resolve=False,
        dependencies=None,
        imports=(),
        import_skip=(),
        import_depth=ImportDepth(),
        programs=(),
        timeout=60.0,
    )


def seen(future: Future[Answer]) -> RemoteResult:
    answer = future.result(timeout=30)
    assert isinstance(answer, RemoteResult), answer
    return answer


def test_what_the_client_asks_for_itself_hides_no_worker(ground: Ground) -> None:
    """Dask's client asks every two seconds for the scheduler without workers; here all the time."""
    ground.add("one", MadeUp(nothing, "x86_64"))
    with dask.config.set({"distributed.client.scheduler-info-interval": "1ms"}):
        cluster = connect(ground.address, wait=WAIT)
    found = {len(cluster.members()) for _ in range(300)}
    cluster.close()
    assert found == {1}


def test_trials_go_where_they_fit(ground: Ground, cluster: Cluster) -> None:
    duties = {arch: MadeUp(nothing, arch) for arch in ("x86_64", "aarch64")}
    for arch, duty in duties.items():
        ground.add(arch, duty)
    futures = {
        (arch, number): cluster.submit(order(cluster, f"{arch}{number}"), needs(arch=arch))
        for arch in duties
        for number in range(4)
    }
    for (arch, _), future in futures.items():
        assert seen(future).worker == arch
    assert all(len(duty.done) == 4 for duty in duties.values())
    assert cluster.places == 2


def test_a_trial_that_no_worker_fits_ends_with_the_reason(ground: Ground, cluster: Cluster) -> None:
    ground.add("intel", MadeUp(nothing))
    with pytest.raises(ClusterError, match=r"no worker of .* fits this trial") as caught:
        cluster.submit(order(cluster), needs(arch="aarch64")).result(timeout=30)
    assert caught.value.why == "none of 1 worker offers architecture aarch64, but architecture x86_64"


def test_a_trial_waits_for_a_worker_that_comes_later(ground: Ground, cluster: Cluster) -> None:
    future = cluster.submit(order(cluster), needs(arch="x86_64"))
    assert not future.done()
    ground.add("late", MadeUp(nothing))
    assert seen(future).worker == "late"


def test_a_worker_that_ends_leaves_its_trial_to_another(ground: Ground, cluster: Cluster) -> None:
    began, go = threading.Event(), threading.Event()

    def wait(_: Order, __: Stream) -> None:
        began.set()
        go.wait(30)

    first = ground.add("first", MadeUp(wait))
    future = cluster.submit(order(cluster), needs(arch="x86_64"))
    assert began.wait(30)
    ground.add("second", MadeUp(nothing))
    ground.end(first)
    go.set()
    assert seen(future).worker == "second"


def test_tries_are_bounded(ground: Ground, cluster: Cluster) -> None:
    began, go = threading.Event(), threading.Event()

    def wait(_: Order, __: Stream) -> None:
        began.set()
        go.wait(30)

    future = cluster.submit(order(cluster), needs(arch="x86_64"))
    for number in range(2):
        began.clear()
        worker = ground.add(f"w{number}", MadeUp(wait))
        assert began.wait(30)
        ground.end(worker)
    with pytest.raises(ClusterError, match="lost this trial") as caught:
        future.result(timeout=30)
    go.set()
    assert "KilledWorker" in caught.value.why


def test_when_the_last_worker_that_fits_is_gone(ground: Ground, cluster: Cluster) -> None:
    began, go = threading.Event(), threading.Event()

    def wait(_: Order, __: Stream) -> None:
        began.set()
        go.wait(30)

    worker = ground.add("only", MadeUp(wait))
    future = cluster.submit(order(cluster), needs(arch="x86_64"))
    assert began.wait(30)
    ground.end(worker)
    with pytest.raises(ClusterError, match="no worker of"):
        future.result(timeout=30)
    go.set()


class NotPlain:
    """Something that can only be sent pickled."""


class Lying(TrialPlugin):
    """A worker of ours whose answers are `answer`, whatever it is asked."""

    def __init__(self, answer: object) -> None:
        super().__init__(MadeUp(nothing))
        self._answer = answer
        self.asked = 0

    def perform(self, content: bytes, worker: Worker) -> bytes:
        del content, worker
        self.asked += 1
        if isinstance(self._answer, BaseException):
            raise self._answer
        return cast("bytes", self._answer)


class PickledError(Exception):
    """An exception whose class a run does not know; Dask brings it pickled, by itself."""


@pytest.mark.attack("forgery")
@pytest.mark.parametrize(
    ("told", "what", "why"),
    [
        (NotPlain(), "was refused", "TypeError"),
        ([NotPlain()], "was refused", "TypeError"),
        (pickle.dumps("x"), "answer", ""),
        (PickledError("x"), "lost this trial", "PickledError: x"),
        (None, "answer", ""),
    ],
    ids=["object", "within", "bytes", "raised", "nothing"],
)
def test_an_answer_that_is_none_ends_its_trial_and_no_other(
    ground: Ground, cluster: Cluster, told: object, what: str, why: str
) -> None:
    ground.add("liar", Lying(told))
    with pytest.raises(ClusterError, match=what) as caught:
        cluster.submit(order(cluster), needs(arch="x86_64")).result(timeout=30)
    assert why in caught.value.why
    ground.add("other", MadeUp(nothing, "aarch64"))
    assert seen(cluster.submit(order(cluster), needs(arch="aarch64"))).worker == "other"


@pytest.mark.parametrize(
    ("raised", "kind"), [(ImageError("no root"), ImageError), (KeyError("x"), EngineError)]
)
def test_what_goes_wrong_there_is_told_here(
    ground: Ground, cluster: Cluster, raised: Exception, kind: type[Exception]
) -> None:
    def fail(_: Order, __: Stream) -> None:
        raise raised

    ground.add("w", MadeUp(fail))
    answer = cluster.submit(order(cluster), needs(arch="x86_64")).result(timeout=30)
    assert isinstance(answer, Failed)
    assert type(error_of(answer)) is kind


def test_a_trial_that_hangs_is_given_up_and_the_place_is_free(ground: Ground, cluster: Cluster) -> None:
    go = threading.Event()

    def hang(order: Order, _: Stream) -> None:
        if order.wheel.filename.startswith("hanging"):
            go.wait(60)

    duty = MadeUp(hang)
    duty.seconds = 1.0
    ground.add("w", duty)
    names = ("hanging", "fine")
    futures = [cluster.submit(order(cluster, name), needs(arch="x86_64")) for name in names]
    answer = futures[0].result(timeout=30)
    assert isinstance(answer, Failed)
    error = error_of(answer)
    assert type(error) is EngineError
    assert error.what == "worker w: could not see within 1 s, and gave it up"
    assert seen(futures[1]).worker == "w", "one place, and it is not taken by what hangs"
    assert not go.is_set()
    go.set()


def test_bytes_come_by_digest_and_only_those_of_the_run(
    ground: Ground, cluster: Cluster, tmp_path: Path
) -> None:
    content = bytes(range(256)) * (PIECE // 128)  # two pieces
    (tmp_path / "file").write_bytes(content)
    cluster.supply.offer("offered", file_source(tmp_path / "file"))
    cluster.supply.offer("gone", file_source(tmp_path / "not-there"))
    got: dict[str, object] = {}

    def ask(_: Order, stream: Stream) -> None:
        for digest in ("offered", "gone", "/etc/passwd"):
            try:
                got[digest] = b"".join(stream(digest))
            except ClusterError as error:
                got[digest] = error.why

    ground.add("w", MadeUp(ask))
    seen(cluster.submit(order(cluster), needs(arch="x86_64")))
    assert got.pop("offered") == content
    assert "No such file" in str(got["gone"])
    assert got["/etc/passwd"] == "this run has no /etc/passwd"
    assert cluster.supply.sent["offered"] == 1


def test_the_end_of_the_run_takes_trials_back(ground: Ground) -> None:
    cluster = connect(ground.address, wait=60.0)
    waiting = cluster.submit(order(cluster), needs(arch="aarch64"))
    cluster.close()
    assert waiting.cancelled()
    with pytest.raises(ClusterError, match="has ended"):
        cluster.submit(order(cluster), needs(arch="aarch64"))


NOBODY_TAKES = """
import sys, threading, time
from distributed import Queue
from pytest_manylinux.cluster.byte_transfer import wishes_of
from pytest_manylinux.cluster.client import connect

cluster, full = connect(sys.argv[1], wait=1.0), threading.Event()

def source(put):
    for _ in range(4):
        put(b"piece")
    full.set()
    put(b"one more than the queue takes")

cluster.supply.offer("digest", source)
Queue(wishes_of(cluster.run), client=cluster._client).put({"digest": "digest", "reply": "nobody"})
assert full.wait(30)
time.sleep(1)  # it is on its way to the scheduler, and waits there
cluster.close()
print("closed", flush=True)
"""


def test_the_process_ends_though_nobody_takes_what_is_sent(ground: Ground) -> None:
    argv = [sys.executable, "-c", NOBODY_TAKES, ground.address]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_manylinux.cluster.client.CONNECT", 1.0)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        connect("tcp://127.0.0.1:1", wait=WAIT)
