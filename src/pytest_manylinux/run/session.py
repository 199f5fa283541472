"""The run: engine, images, catalogue and the graph of tasks that all items draw on."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_manylinux.cache.disk_errors import room_errors
from pytest_manylinux.catalogue import DEFAULT, EMBEDDED, Catalogue, load_catalogue
from pytest_manylinux.cluster.extra import require_library
from pytest_manylinux.config.keys import AUTO
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ManylinuxError, StoreError
from pytest_manylinux.host.architecture import host_arch
from pytest_manylinux.host.shutdown import Shutdown
from pytest_manylinux.images.lock_file import NAME as LOCK
from pytest_manylinux.images.lock_file import Lock, read_lock
from pytest_manylinux.images.references import parse_mirrors
from pytest_manylinux.images.run_images import RunImages, uses_registries
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.images.survey_store import Surveys
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, Interpreter, Target
from pytest_manylinux.model.survey import Survey
from pytest_manylinux.plan import check_policy, targets_of
from pytest_manylinux.run.builder_choice import Builders
from pytest_manylinux.run.facts import Facts
from pytest_manylinux.run.observation_memory import OBSERVATIONS, Memory
from pytest_manylinux.run.tasks import Graph, Overview
from pytest_manylinux.trials.pool import WarmTrials

if TYPE_CHECKING:
    from pytest_manylinux.cluster.client import Cluster

_T = TypeVar("_T")
_TICK = 0.2  # seconds between two looks at the messages while an item waits


@dataclass(slots=True)
class Messages:
    """Lines of progress from working threads, shown by the main thread when it has a moment."""

    show: Callable[[str], None]
    _lines: SimpleQueue[str] = field(default_factory=SimpleQueue)

    def say(self, line: str) -> None:
        """Take a line from any thread."""
        self._lines.put(line)

    def flush(self) -> None:
        """Show what has come; for the main thread only."""
        while True:
            try:
                self.show(self._lines.get_nowait())
            except Empty:
                return


class Coming:
    """How many trials of each target have been added and have not begun. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: Counter[str] = Counter()

    def add(self, target: str) -> None:
        """One more has been added."""
        with self._lock:
            self._left[target] += 1

    def begin(self, target: str) -> int:
        """One begins; gives how many are left."""
        with self._lock:
            self._left[target] -= 1
            return self._left[target]


class Run:
    """What one pytest process shares between its items. Everything costly is made on first use.

    `root` is pytest's root folder, from which paths are named. `own` is the folder whose table and lock
    hold for the whole run: the root, or the current folder where pytest found the root next to a path.
    `usual` has the seconds that builds and trials took in earlier runs (report.history.durations).
    While an item is waited for, `watch` is given how to see what is at work; None when that is over.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        root: Path,
        own: Path,
        here: Path,
        show: Callable[[str], None],
        watch: Callable[[Callable[[], Overview] | None], None] = lambda _: None,
        shared: Path | None,
        fresh: bool,
    ) -> None:
        self.settings = settings
        self.root = root
        self.own = own
        self.here = here
        self.shared = shared
        self.watch = watch
        self.usual: Mapping[str, float] = {}
        self.fresh = fresh
        self.arch = host_arch()
        rows = own / settings.catalogue if settings.catalogue else None
        self.catalogue: Catalogue = load_catalogue(settings.distro, file=rows)
        self.lock: Lock | None = read_lock(own / LOCK)
        self.messages = Messages(show)
        self._lifetime = Shutdown()
        self.graph = Graph(settings.jobs, enter=self._lifetime.enter)
        self.makers = Builders(run=self)
        self._lock = threading.RLock()
        self._engine: Engine | ManylinuxError | None = None
        self._images: RunImages | None = None
        self._store: ImageStore | None = None
        self._memory: Memory | None = None
        self._facts: Facts | None = None
        self._surveys: Surveys | None = None
        self._warm: WarmTrials | None = None
        self._cluster: Cluster | ManylinuxError | None = None
        self._targets: dict[tuple[Any, ...], tuple[Target, ...]] = {}
        self.coming = Coming()

    @property
    def wheelhouse(self) -> Path:
        """Where built wheels go; relative to the current folder, as cibuildwheel's is."""
        return self.here / self.settings.wheelhouse

    @property
    def store(self) -> ImageStore:
        """The store of images; raises StoreError if the cache cannot be used."""
        with self._lock:
            if self._store is None:
                self._store = ImageStore()
            return self._store

    @property
    def memory(self) -> Memory:
        """What earlier runs saw."""
        with self._lock:
            if self._memory is None:
                self._memory = Memory(self.store.root / OBSERVATIONS, fresh=self.fresh)
            return self._memory

    @property
    def facts(self) -> Facts:
        """What earlier runs read of wheels, and what this one does."""
        with self._lock:
            if self._facts is None:
                try:
                    root: Path | None = self.store.root / "facts"
                except StoreError:  # an audit wants no cache
                    root = None
                self._facts = Facts(root, fresh=self.fresh)
            return self._facts

    def survey(self, distro: Distro, image: Image) -> Survey | None:
        """What is known of the image's libraries; None if it did not answer."""
        with self._lock:
            if self._surveys is None:
                self._surveys = Surveys(self.store.root / "surveys")
        return self._surveys.of(distro, image, self.engine())

    def cluster(self) -> Cluster:
        """The cluster of the setting `dask`, connected to once; raises the same ClusterError again."""
        from pytest_manylinux.cluster.client import connect  # noqa: PLC0415 - only if it is asked for

        with self._lock:
            if self._cluster is None:
                try:
                    self._cluster = connect(self.settings.dask, wait=self.settings.dask_wait)
                except ManylinuxError as error:
                    self._cluster = error
            if isinstance(self._cluster, ManylinuxError):
                raise self._cluster
            cluster = self._cluster
        self.graph.elsewhere = lambda: cluster.places
        return cluster

    def prepares(self, target: Target) -> bool:
        """Whether this machine prepares image and dependencies of a trial that the cluster does."""
        try:
            self.cluster()
        except ManylinuxError:
            return False  # the trial says so
        try:
            self.engine()
        except ManylinuxError:
            return False
        return target.arch == self.arch

    def engine(self) -> Engine:
        """The engine, chosen once; raises the same EngineError each time if there is none."""
        with self._lock:
            if self._engine is None:
                try:
                    with room_errors(self.store.root):
                        self._engine = select_engine(self.settings.engine, say=lambda _: None)
                except ManylinuxError as error:
                    self._engine = error
                else:
                    if self._engine.caution:
                        self.messages.say(self._engine.caution)
            if isinstance(self._engine, ManylinuxError):
                raise self._engine
            return self._engine

    @property
    def images(self) -> RunImages:
        """Where images come from; raises EngineError if no engine could use them, and StoreError."""
        engine = self.engine()
        with self._lock:
            if self._images is None:
                self._images = RunImages(
                    engine=engine,
                    settings=self.settings,
                    store=self.store,
                    pins={} if self.lock is None else self.lock.pins,
                    say=self.messages.say,
                )
            return self._images

    def warm(self) -> WarmTrials:
        """Fork servers of the engine, for trials; raises as `engine` does."""
        with self._lock:
            if self._warm is None:
                self._warm = WarmTrials(self.engine())
            return self._warm

    def image(
        self,
        distro: Distro,
        interpreter: Interpreter,
        purpose: ImagePurpose,
        extra_packages: tuple[str, ...] = (),
    ) -> Image:
        """Provide an image; raises ImageError or StoreError, and EngineError if none could use it."""
        sources = self.images.sources
        return sources.provide(distro, self.arch, purpose, extra_packages, interpreter=interpreter)

    def pins(self, settings: Settings) -> tuple[tuple[str, str], ...]:
        """The chosen distros that the lock binds on this engine, each with its digest."""
        if self.lock is None or not uses_registries(self.engine().name, settings):
            return ()
        pins = self.lock.pins
        return tuple((d.id, pins[d.id]) for d in self.distros(settings) if d.id in pins)

    def distros(self, settings: Settings) -> tuple[Distro, ...]:
        """The chosen distros; raises UsageError for a word that the catalogue does not know."""
        where = str(settings.source("distros"))
        words = [self.usual_group() if word == AUTO else word for word in settings.distros]
        return self.catalogue.select(words, where=where)

    def usual_group(self) -> str:
        """The group that `auto` means: what the engine in use can have images of."""
        name = self.settings.engine
        if name == AUTO:
            try:
                name = self.engine().name
            except ManylinuxError:  # the trials say so
                return EMBEDDED
        return DEFAULT if uses_registries(name, self.settings) else EMBEDDED

    def targets(self, settings: Settings, arch: str = "") -> tuple[Target, ...]:
        """The chosen distros x Pythons on this machine's architecture, or another one."""
        key = (tuple(settings.distros), tuple(settings.python), arch)
        if key not in self._targets:  # the same for each wheel of a run, and there may be thousands
            self._targets[key] = targets_of(self.distros(settings), arch or self.arch, settings.python)
        return self._targets[key]

    def builders(self, settings: Settings) -> Sequence[Distro]:
        """Distros whose roots can build: chosen ones first, released before rolling."""
        chosen = self.distros(settings)
        others = [distro for distro in self.catalogue.distros if distro not in chosen]
        return [*chosen, *sorted(others, key=lambda distro: distro.rolling)]

    def check(self, settings: Settings) -> None:
        """Raise UsageError for settings that make no sense together or on this machine."""
        check_policy(settings.policy, self.arch, where=str(settings.source("policy")))
        if settings.dask:
            require_library()
        parse_mirrors(settings.registry_mirror, where=str(settings.source("registry-mirror")))
        words = [word for word in settings.distros if word != AUTO]
        self.catalogue.select(words, where=str(settings.source("distros")))

    def wait(self, future: Future[_T]) -> _T:
        """Wait in the main thread, showing progress; gives or raises what the task did."""
        while True:
            try:
                result = future.result(timeout=_TICK)
            except FutureTimeoutError:
                if future.done():
                    raise
                self.messages.flush()
                self.watch(self.graph.overview)
            else:
                self.watch(None)
                self.messages.flush()
                return result

    def close(self) -> None:
        """End all that this run holds: nothing starts any more, sandboxes are killed."""
        self.graph.stop()
        self._lifetime.end()
        with self._lock:
            engine, warm, cluster = self._engine, self._warm, self._cluster
        if cluster is not None and not isinstance(cluster, ManylinuxError):
            cluster.close()
        if warm is not None:
            warm.close()
        if engine is not None and not isinstance(engine, ManylinuxError):
            engine.close()
        for kept in (self._memory, self._facts):
            if kept is not None:
                kept.prune()
        if self._images is not None:
            self._images.close()
        self.messages.flush()


def task_key(kind: str, *parts: object) -> tuple[Any, ...]:
    """A key for the graph."""
    return (kind, *(os.fspath(part) if isinstance(part, Path) else part for part in parts))
