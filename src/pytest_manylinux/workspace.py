"""What one machine does trials and builds with, for a run on it and for a worker of a cluster.

Engine, store of images, virtual environments, dependencies, interpreters kept ready, surveys, facts of
wheels: each is made on first use, once, by whichever thread needs it first. Nothing here knows for
whom it is done, or for which architecture: that is the target's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from pytest_manylinux.cache.paths import room_errors
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import DependencyError, ManylinuxError, NoWheelError, StoreError
from pytest_manylinux.images.image_survey import Surveys
from pytest_manylinux.images.run_images import RunImages
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.inspect.facts_cache import FactsCache
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, Survey, Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.wheel import SiblingWheel, Wheel, WheelFacts
from pytest_manylinux.pythons.added import with_added_python
from pytest_manylinux.pythons.answered import AnsweredPythons
from pytest_manylinux.trials.dependencies import resolve_dependencies
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.suite import SuiteRequest
from pytest_manylinux.trials.suite_requirements import Stores, with_kept_installation
from pytest_manylinux.trials.trial import TrialRequest, run_trial
from pytest_manylinux.trials.uv_program import UvProgram, uv_program
from pytest_manylinux.trials.venv import prepared_venv

_T = TypeVar("_T")
Say = Callable[[str], None]


class OnFirstUse(Generic[_T]):
    """Something costly, made once when it is first asked for. Thread-safe.

    A ManylinuxError of its making is raised to everybody who asks.
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._result: _T | None = None
        self._error: ManylinuxError | None = None

    def __call__(self) -> _T:
        """Give it; raises what its making raised."""
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._result is None:
                try:
                    self._result = self._make()
                except ManylinuxError as error:
                    self._error = error
                    raise
            return self._result

    @property
    def made(self) -> _T | None:
        """What there is to close: None if nobody has asked, or if it could not be made."""
        return self._result


class Workspace:
    """The resources of one machine. Thread-safe.

    `engine` overrules the setting. `pins` are digests of registry images by distro id. `say` gets a
    line for each long step. `fresh` reads every wheel again. `engines` are those of plugins, by name.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: str = "",
        pins: Mapping[str, str] | None = None,
        say: Say,
        fresh: bool = False,
        engines: Mapping[str, Callable[[], Engine]] | None = None,
    ) -> None:
        self.settings = settings
        self.say = say
        self._pins = pins or {}
        self._choice = engine or settings.engine
        self._fresh = fresh
        self._engines = engines or {}
        self._lock = threading.Lock()
        self._images: dict[tuple[str, str], RunImages] = {}
        self._engine = OnFirstUse(self._select_engine)
        self._store = OnFirstUse(ImageStore)
        self._facts = OnFirstUse(self._open_facts)
        self._answered = OnFirstUse(lambda: AnsweredPythons(self.store.root, self._pins))
        self._surveys = OnFirstUse(lambda: Surveys(self.store.root / "surveys"))
        self._uv = OnFirstUse(uv_program)
        self._pool = OnFirstUse(lambda: PreloadedPool(self.engine()))

    def engine(self) -> Engine:
        """The engine; raises EngineError if none answers, UsageError for a name that is not one."""
        return self._engine()

    def _select_engine(self) -> Engine:
        with room_errors(self.store.root):
            engine = select_engine(self._choice, others=self._engines)
        if engine.caution:
            self.say(engine.caution)
        return engine

    def engine_label(self) -> str:
        """Name and version of the engine; raises as `engine` does."""
        engine = self.engine()
        return f"{engine.name} {engine.version()}"

    @property
    def store(self) -> ImageStore:
        """The store of images, whose folder is the cache; raises StoreError if it cannot be used."""
        return self._store()

    @property
    def build_cache(self) -> Path:
        """Where builds keep compiler, tools and caches."""
        return self.store.root / "build"

    @property
    def venvs(self) -> Path:
        """Where trials keep prepared virtual environments."""
        return self.store.root / "venvs"

    @property
    def images(self) -> RunImages:
        """Where images come from; raises EngineError if no engine could use them, and StoreError."""
        return self._images_of("", "")

    def _images_of(self, distro: str, pinned: str) -> RunImages:
        engine, store = self.engine(), self.store
        with self._lock:
            if (distro, pinned) not in self._images:
                self._images[distro, pinned] = RunImages(
                    engine=engine,
                    settings=self.settings,
                    store=store,
                    pins={distro: pinned} if pinned else self._pins,
                    say=self.say,
                )
            return self._images[distro, pinned]

    def image(
        self,
        target: Target,
        purpose: ImagePurpose = ImagePurpose.TRIAL,
        extra_packages: tuple[str, ...] = (),
        *,
        pinned: str = "",
    ) -> Image:
        """Provide an image for a target's distro, architecture and Python.

        `pinned` is the digest that the distro's image must have in its registry. A Python that the
        distro does not package comes with it. Raises ImageError, NoPythonError and StoreError, and
        EngineError if no engine could use it.
        """
        images = self._images_of(target.distro.id, pinned) if pinned else self.images
        provide = partial(images.sources.provide, target.distro)
        image = provide(target.arch, purpose, extra_packages, interpreter=target.interpreter)

        def root(arch: str, packages: tuple[str, ...]) -> Image:
            own = target.distro.interpreters[0]
            return provide(arch, ImagePurpose.BUILD, packages, interpreter=own)

        return with_added_python(target, image, self.engine(), self.store.root, root=root, say=self.say)

    def survey(self, distro: Distro, image: Image) -> Survey | None:
        """What is known of the libraries in an image; None if it did not answer."""
        return self._surveys().of(distro, image, self.engine())

    def facts(self, wheel: Wheel) -> WheelFacts:
        """A wheel's facts, read once; raises what read_wheel raises."""
        return self._facts().of(wheel)

    def keep_facts(self, facts: WheelFacts) -> None:
        """Keep what a build has read of its wheel, for later runs."""
        self._facts().keep(facts)

    def _open_facts(self) -> FactsCache:
        try:
            root: Path | None = self.store.root / "facts"
        except StoreError:  # reading a wheel needs no cache
            root = None
        return FactsCache(root, fresh=self._fresh)

    def prepare_venv(self, target: Target, image: Image) -> None:
        """Make the virtual environment of an image's Python ahead of the first trial in it."""
        venv = prepared_venv(image, target.interpreter, self.engine(), self.venvs)
        self._answered().keep(target, venv.layout.python)

    def as_answered(self, target: Target) -> Target:
        """The target with the Python that was there when its distro was last tried."""
        try:
            return self._answered().target(target)
        except StoreError:  # planning needs no cache
            return target

    def dependencies(
        self,
        wheel: Wheel,
        facts: WheelFacts,
        target: Target,
        image: Image,
        *,
        timeout: float,
        extras: tuple[str, ...] = (),
        also: tuple[str, ...] = (),
        siblings: tuple[SiblingWheel, ...] = (),
        lowest: bool = False,
    ) -> Path | None:
        """See `resolve_dependencies`; folders are kept below the cache."""
        return resolve_dependencies(
            wheel,
            facts,
            target,
            image,
            self.engine(),
            cache=self.store.root / "dependencies",
            timeout=timeout,
            extras=extras,
            also=also,
            siblings=siblings,
            lowest=lowest,
        )

    def prepared_suite(
        self, suite: SuiteRequest, resolve: Callable[..., Path | None], *, compiling: bool = False
    ) -> SuiteRequest:
        """A project's tests with what they require; what cannot be resolved is why they do not run.

        `resolve` is `dependencies` of their wheel on its target. With `compiling` NoWheelError is
        raised for what has no wheel there but a source, which the caller builds.
        """
        if not suite.can_run or not suite.needs:
            return suite
        try:
            required = resolve(extras=suite.settings.extras, also=suite.settings.requires)
        except DependencyError as error:
            if compiling and isinstance(error, NoWheelError) and error.sdist:
                raise
            lacking = " ".join(f"{error.what}: {error.why}".split())
            return replace(suite, settings=replace(suite.settings, lacking=lacking))
        return replace(suite, required=required)

    def uv(self, settings: Settings) -> UvProgram | None:
        """The uv of the run, if these settings want it; raises UsageError if there is none."""
        return self._uv() if "uv" in settings.installer else None

    def observe(self, request: TrialRequest, more: int = 0) -> Observation:
        """Do a trial; `more` trials on the same target are known to come. Raises as run_trial does."""
        stores = Stores(kept=self.store.root / "installed", venvs=self.venvs)
        request = with_kept_installation(request, self.engine(), stores)
        return run_trial(request, self.engine(), self._pool(), more)

    def close(self) -> None:
        """End all that is at work, kill sandboxes, and keep what a later run may want."""
        if (pool := self._pool.made) is not None:
            pool.close()
        if (engine := self._engine.made) is not None:
            engine.close()
        if (facts := self._facts.made) is not None:
            facts.prune()
        with self._lock:
            images = list(self._images.values())
        for one in images:
            one.close()
