"""The run: engine, images, catalogue and the graph of tasks that all items draw on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from packaging.tags import Tag

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.catalogue import DEFAULT, EMBEDDED, MUSL, Catalogue, load_catalogue
from pytest_manylinux.cluster import require_library
from pytest_manylinux.config.keys import AUTO
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.errors import ManylinuxError, UsageError
from pytest_manylinux.host.architecture import (
    ARCHITECTURES,
    emulation_of,
    host_arch,
    named_architectures,
)
from pytest_manylinux.host.shutdown import Shutdown
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.images.lock_file import NAME as LOCK
from pytest_manylinux.images.lock_file import Lock, read_lock
from pytest_manylinux.images.references import parse_mirrors
from pytest_manylinux.images.run_images import no_registry
from pytest_manylinux.model.distro import Distro, Interpreter, InterpreterOrigin, Target
from pytest_manylinux.model.policy import LibcKind, PolicyChoice
from pytest_manylinux.model.python import Implementation, PythonVersion, parse_python
from pytest_manylinux.model.selection import Selection
from pytest_manylinux.model.wheel_tags import oldest_built, python_of_tag
from pytest_manylinux.plan import (
    added_interpreter,
    check_policy,
    other_targets,
    source_interpreter,
    targets_of,
)
from pytest_manylinux.pythons.source_package import has_mirror
from pytest_manylinux.pythons.standalone import StandalonePythons
from pytest_manylinux.run.builder_choice import Builders
from pytest_manylinux.run.extensions import Extensions
from pytest_manylinux.run.observation_memory import OBSERVATIONS, Memory
from pytest_manylinux.run.outcomes import check_bounds, check_findings
from pytest_manylinux.run.project_tests import Suites, check_skipped, cores_of
from pytest_manylinux.run.tasks import Overview, Tasks
from pytest_manylinux.run.trial_inputs import check_resolution
from pytest_manylinux.workspace import OnFirstUse, Workspace

if TYPE_CHECKING:
    from pytest_manylinux.cluster.client import Cluster

_T = TypeVar("_T")
_TICK = 0.2  # seconds between two looks at the messages while an item waits


def selection_of(settings: Settings) -> Selection:
    """The settings that choose among the distros' Pythons."""
    return Selection(python=settings.python, build=settings.build, skip=settings.skip)


def _as_asked(target: Target, selection: Selection) -> Target:
    """The target, with a Python that settings name tried with all wheels that it takes."""
    own = target.interpreter
    if not own.only_named or not selection.names(own.version):
        return target
    return replace(target, interpreter=replace(own, only_named=False))


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


class Run:
    """What one pytest process shares between its items. Everything costly is made on first use.

    `root` is pytest's root folder, from which paths are named. `own` is the folder whose table and lock
    hold for the whole run: the root, or the current folder where pytest found the root next to a path.
    `extensions` are what other plugins add. With `only_planned` nothing is to be tried, and no
    Python is fetched to see whether it can be. With `rebuild` each wheel is built a second time.
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
        rebuild: bool = False,
        extensions: Extensions | None = None,
        only_planned: bool = False,
    ) -> None:
        self.settings = settings
        self.extensions = extensions or Extensions()
        self._knows_checks = extensions is not None  # what a command begins asks no plugin for its own
        self.root = root
        self.own = own
        self.here = here
        self.shared = shared
        self.watch = watch
        self.fresh = fresh
        self.rebuild = rebuild
        self.arch = host_arch()
        rows = own / settings.catalogue if settings.catalogue else None
        self.catalogue: Catalogue = load_catalogue(settings.distro, file=rows, folder=own)
        self.lock: Lock | None = read_lock(own / LOCK)
        self.messages = Messages(show)
        say = self.messages.say
        pins, engines = {} if self.lock is None else self.lock.pins, self.extensions.engines
        self.workspace = Workspace(settings, pins=pins, say=say, fresh=fresh, engines=engines)
        self.builders = self._make_builders()
        cores = cores_of(settings.jobs or os.cpu_count() or 1)
        self.suites = Suites(own=own, wheelhouse=self.wheelhouse, say=say, cores=cores)
        self._folders = ExitStack()
        self._scratch = OnFirstUse(lambda: self._folders.enter_context(temporary_folder()))
        self._lifetime = Shutdown()
        self.tasks = Tasks(settings.jobs, enter=self._lifetime.enter)
        self._memory = OnFirstUse(self._open_memory)
        self._cluster = OnFirstUse(self._connect)
        self._standalone = StandalonePythons(cache_root(), say=say, only_listed=only_planned)
        self._only_planned = only_planned
        self._targets: dict[tuple[Any, ...], tuple[Target, ...]] = {}
        self._packaged: dict[tuple[Any, ...], tuple[Target, ...]] = {}

    def _make_builders(self) -> Builders:
        locked = {} if self.lock is None else self.lock.builders
        return Builders(
            self.workspace,
            pins={name: image.digest for name, image in locked.items()},
            shared=self.shared,
            toolchains=self.extensions.toolchains,
        )

    @property
    def wheelhouse(self) -> Path:
        """Where built wheels go; relative to the current folder, as cibuildwheel's is."""
        return self.here / self.settings.wheelhouse

    @property
    def scratch(self) -> Path:
        """A folder that all processes of the run use, and that is gone after it."""
        return self.shared or self._scratch()

    @property
    def memory(self) -> Memory:
        """What earlier runs saw."""
        return self._memory()

    def _open_memory(self) -> Memory:
        return Memory(self.workspace.store.root / OBSERVATIONS, fresh=self.fresh)

    def cluster(self) -> Cluster:
        """The cluster of the setting `dask`, connected to once; raises the same ClusterError again."""
        return self._cluster()

    def _connect(self) -> Cluster:
        from pytest_manylinux.cluster.client import connect  # noqa: PLC0415 - only if it is asked for

        cluster = connect(self.settings.dask, wait=self.settings.dask_wait)
        self.tasks.places = lambda: cluster.places
        return cluster

    def prepares(self, target: Target) -> bool:
        """Whether this machine prepares image and dependencies of a trial that the cluster does."""
        try:
            self.cluster()
        except ManylinuxError:
            return False  # the trial says so
        try:
            self.workspace.engine()
        except ManylinuxError:
            return False
        # Workers make or fetch a Python themselves that no distro packages.
        return emulation_of(target.arch).works and target.interpreter.origin is InterpreterOrigin.DISTRO

    def pins(self, settings: Settings) -> tuple[tuple[str, str], ...]:
        """The chosen distros that the lock binds on this engine, each with its digest."""
        if self.lock is None or no_registry(self.workspace.engine().name, settings, shared=self.shared):
            return ()
        pins = self.lock.pins
        return tuple((d.id, pins[d.id]) for d in self.distros(settings) if d.id in pins)

    def distros(self, settings: Settings) -> tuple[Distro, ...]:
        """The chosen distros; raises UsageError for a word that the catalogue does not know."""
        where = str(settings.source("distros"))
        words = [one for word in settings.distros for one in self._meaning(word, settings)]
        return self.catalogue.select([word.partition("+")[0] for word in words], where=where)

    def _meaning(self, word: str, settings: Settings) -> tuple[str, ...]:
        """A word of `distros`; `auto` has roots of musl where wheels are built for it."""
        if word != AUTO:
            return (word,)
        builds_for_musl = any(choice.kind is LibcKind.MUSL for choice in settings.policy)
        return (self.usual_group(), *([MUSL] if builds_for_musl else []))

    def usual_group(self) -> str:
        """The group that `auto` means: what the engine in use can have images of."""
        try:
            return EMBEDDED if self.no_registry() else DEFAULT
        except ManylinuxError:  # the trials say so
            return EMBEDDED

    def no_registry(self, settings: Settings | None = None) -> str:
        """Why distros' images come from no registry; empty if they do. Raises EngineError."""
        wanted = settings or self.settings
        name = wanted.engine if wanted.engine != AUTO else self.workspace.engine().name
        return no_registry(name, wanted, shared=self.shared)

    def targets(self, settings: Settings, arch: str = "") -> tuple[Target, ...]:
        """The chosen distros x Pythons on this machine's architecture, or another one."""
        selection = selection_of(settings)
        key = (settings.distros, settings.policy, selection, settings.other_pythons, arch)
        if key not in self._targets:  # the same for each wheel of a run, and there may be thousands
            every = self._planned(settings, arch or self.arch)
            self._targets[key] = tuple(
                _as_asked(one, selection) for one in every if not selection.excluded_by(one)
            )
        return self._targets[key]

    def _planned(self, settings: Settings, arch: str) -> tuple[Target, ...]:
        """Pythons that the chosen distros package, and those that are named with a distro."""
        plain = replace(settings, distros=tuple(w for w in settings.distros if "+" not in w))
        return self.packaged(plain, arch) + tuple(self._places(settings, arch))

    def packaged(self, settings: Settings, arch: str) -> tuple[Target, ...]:
        """All Pythons that the chosen distros package, as they answered when they were last tried."""
        key = (settings.distros, settings.policy, arch)
        if key not in self._packaged:  # as for `targets`
            by_row = targets_of(self.distros(settings), arch, ())
            answered = map(self.workspace.as_answered, by_row)
            self._packaged[key] = tuple({one.id: one for one in answered}.values())
        return self._packaged[key]

    def _places(self, settings: Settings, arch: str) -> Iterator[Target]:
        """Pythons that are named with a distro; raises UsageError where none can be provided."""
        where = str(settings.source("distros"))
        for word in settings.distros:
            name, joint, python = word.partition("+")
            if not joint:
                continue
            distro = self.catalogue.get(name, where=where)
            interpreter = self._named(parse_python(python, where=where), distro, arch, settings)
            if arch in distro.architectures:
                yield Target(distro=distro, arch=arch, interpreter=interpreter)

    def _named(
        self, version: PythonVersion, distro: Distro, arch: str, settings: Settings
    ) -> Interpreter:
        interpreter = self._added(version, distro, arch, settings)
        if interpreter is None:
            raise UsageError(
                f"{settings.source('distros')}: no {version.title} can be provided on {distro.id}",
                why="no suite of its archive is known to have the source"
                if settings.other_pythons == "source"
                else f"other-pythons is {settings.other_pythons}",
                remedy="choose another source with --manylinux-other-pythons",
            )
        return interpreter

    def _added(
        self, version: PythonVersion, distro: Distro, arch: str, settings: Settings
    ) -> Interpreter | None:
        wanted = settings.other_pythons
        if wanted == "any":
            wanted = "source" if self._standalone.why_not(version, arch) else "standalone"
        match wanted:
            case "source":
                return self._from_source(version, distro)
            case "standalone" if distro.libc.is_glibc():
                return added_interpreter(version, distro, InterpreterOrigin.STANDALONE)
            case _:
                return None

    def _from_source(self, version: PythonVersion, distro: Distro) -> Interpreter | None:
        """A CPython from source; not from another archive than the distro's that apt does not know."""
        found = source_interpreter(version, distro, self.catalogue.distros)
        if found is None or distro.archive is None or self._only_planned:
            return found
        own = any(one.origin == distro.archive.origin for one in found.sources)
        return found if own or any(map(has_mirror, found.sources)) else None

    def why_no_python(self, settings: Settings, tags: frozenset[Tag], archs: Iterable[str]) -> str:
        """Why no Python is added for a wheel that no chosen distro has one for, and the next step."""
        if settings.other_pythons == "none":
            return "other-pythons = standalone takes those that uv installs"
        versions = {version for tag in tags if (version := python_of_tag(tag)) is not None}
        if not versions:
            return ""
        if settings.other_pythons == "source":
            if all(one.implementation is not Implementation.CPYTHON for one in versions):
                return "only CPython is built from source"
            return "no archive of the chosen distros is known to have its source"
        reasons = (self._standalone.why_not(v, arch) for v in sorted(versions) for arch in archs)
        reason = next(filter(None, reasons), "")
        if settings.other_pythons == "any" and reason:  # its next step is to build from source
            return f"{reason.partition(' (')[0]}, and it cannot be built from source here either"
        return reason

    def other_targets(
        self, settings: Settings, tags: frozenset[Tag], archs: Iterable[str]
    ) -> tuple[Target, ...]:
        """Targets for those of a wheel's Pythons that no chosen distro packages; see plan."""
        if settings.other_pythons == "none":
            return ()
        chosen = [one for arch in archs for one in self.packaged(settings, arch)]
        add = partial(self.add_python, settings)
        selection, found = selection_of(settings), other_targets(tags, chosen, add)
        return tuple(one for one in found if not selection.excluded_by(one))

    def add_python(
        self, settings: Settings, version: PythonVersion, place: Target
    ) -> Interpreter | None:
        """A Python that a target's distro does not package, as the settings have it; see plan."""
        if settings.other_pythons == "none" or (
            settings.other_pythons == "standalone" and self._standalone.why_not(version, place.arch)
        ):
            return None
        return self._added(version, place.distro, place.arch, settings)

    def architectures(self, settings: Settings, tags: frozenset[Tag]) -> tuple[str, ...]:
        """Those to try a given wheel on: of `auto`, all in its tags that run here or on a worker."""
        platforms = {tag.platform for tag in tags}
        wanted = [a for a in ARCHITECTURES if any(name.endswith(f"_{a}") for name in platforms)]
        if "any" in platforms:
            wanted.insert(0, self.arch)
        if AUTO not in settings.archs:
            named = named_architectures(settings.archs)
            return tuple(arch for arch in named if arch in wanted or "any" in platforms)
        return tuple(arch for arch in wanted if settings.dask or emulation_of(arch).works)

    def policies(self, settings: Settings, arch: str) -> tuple[PolicyChoice, ...]:
        """The policies to build for on an architecture: as set; `auto` begins with the oldest."""
        oldest = oldest_built(LibcKind.GLIBC, arch)
        return tuple(
            replace(choice, policy=max(choice.policy, oldest)) if choice.auto else choice
            for choice in settings.policy
        )

    def build_distros(self, settings: Settings) -> Sequence[Distro]:
        """Distros whose roots can build: chosen ones first, released before rolling."""
        chosen = self.distros(settings)
        others = [distro for distro in self.catalogue.distros if distro not in chosen]
        return [*chosen, *sorted(others, key=lambda distro: distro.rolling)]

    def check(self, settings: Settings) -> None:
        """Raise UsageError for settings that make no sense together or on this machine."""
        for arch in named_architectures(settings.archs):
            for choice in self.policies(settings, arch):
                check_policy(choice.policy, arch, where=str(settings.source("policy")))
        check_resolution(settings)
        self.extensions.require(settings)
        check_bounds(settings)
        if self._knows_checks:
            check_findings(settings)
        if settings.dask:
            require_library()
        parse_mirrors(settings.registry_mirror, where=str(settings.source("registry-mirror")))
        words = [word.partition("+")[0] for word in settings.distros if word != AUTO]
        self.catalogue.select(words, where=str(settings.source("distros")))
        check_skipped(settings, self.catalogue.distros)
        list(self._places(settings, self.arch))

    def wait(self, future: Future[_T]) -> _T:
        """Wait in the main thread, showing progress; gives or raises what the task did."""
        while True:
            try:
                result = future.result(timeout=_TICK)
            except FutureTimeoutError:
                if future.done():
                    raise
                self.messages.flush()
                self.watch(self.tasks.overview)
            else:
                self.watch(None)
                self.messages.flush()
                return result

    def close(self) -> None:
        """End all that this run holds: nothing starts any more, sandboxes are killed."""
        self.tasks.stop()
        self._lifetime.end()
        if (cluster := self._cluster.made) is not None:
            cluster.close()
        self.workspace.close()
        self.suites.close()
        self._folders.close()
        if (memory := self._memory.made) is not None:
            memory.prune()
        self.messages.flush()
