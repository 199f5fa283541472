"""What a worker of a cluster does trials with: its own engine, store of images and caches."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.cluster.protocol import Order, Root, Seen
from pytest_manylinux.cluster.scheduling import Offer
from pytest_manylinux.cluster.watchdog import MARGIN, PREPARING, Limit
from pytest_manylinux.cluster.worker_files import Shelf, Stream
from pytest_manylinux.config.merge import environment_layer, merge
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ImageError, StoreError
from pytest_manylinux.host.architecture import host_arch
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.apt import DEBIAN_ARCHITECTURES
from pytest_manylinux.images.receive import receive
from pytest_manylinux.images.run_images import RunImages, uses_registries
from pytest_manylinux.images.store import ImageStore, StoredImage
from pytest_manylinux.images.survey_store import Surveys
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose
from pytest_manylinux.model.wheel import Wheel, WheelFacts
from pytest_manylinux.trials.dependencies import resolve_dependencies
from pytest_manylinux.trials.pool import WarmTrials
from pytest_manylinux.trials.trial import TrialRequest, run_trial

_FACTS_KEPT = 64  # wheels whose facts are kept: one wheel comes for several targets in a row


class Duty:
    """See `cluster.member.Duty`. The variables PYTEST_MANYLINUX_… of the worker hold for it.

    Raises UsageError for a wrong setting, EngineError if no engine answers, StoreError.
    """

    def __init__(self, *, environment: Mapping[str, str], engine: str = "", say: Say) -> None:
        self._settings = merge((environment_layer(environment),))
        self._say = say
        self._engine = select_engine(engine or self._settings.engine)
        if self._engine.caution:
            say(self._engine.caution)
        self._store = ImageStore()
        self._warm = WarmTrials(self._engine)
        self._surveys = Surveys(self._store.root / "surveys")
        self._shelf = Shelf(self._store.root / "cluster")
        self._shelf.prune()
        self._lock = threading.Lock()
        self._preparing: set[Limit] = set()
        self._moving = threading.Lock()
        self._images: dict[tuple[str, str], RunImages] = {}
        self._facts = lru_cache(_FACTS_KEPT)(_facts)
        self.offer = self._offered()

    def do(self, order: Order, stream: Stream, *, worker: str, limit: Limit) -> Seen:
        """Do a trial as a run on this machine would."""
        self._say(f"{order.target.id}: {order.wheel.filename}")
        with self._prepared(limit):
            request = self._request(order, lambda digest: self._heard(stream(digest)), limit)
        limit.stage("end a trial", 2 * order.timeout + MARGIN)  # twice: warm, and then anew
        observation = run_trial(request, self._engine, self._warm)
        survey = None
        if order.root is None:
            survey = self._surveys.of(order.target.distro, request.image, self._engine)
        return Seen(
            worker=worker,
            engine=f"{self._engine.name} {self._engine.version()}",
            observation=observation,
            survey=survey,
        )

    def _request(self, order: Order, stream: Stream, limit: Limit) -> TrialRequest:
        """All that a trial takes, brought and made."""
        limit.stage("bring the wheel", PREPARING)
        wheel, facts = self._facts(self._shelf.wheel(order.wheel, stream))
        limit.stage(f"prepare the image of {order.target.distro.id}", PREPARING)
        image = self._image(order, stream)
        limit.stage("prepare the dependencies", PREPARING + order.timeout)
        return TrialRequest(
            wheel=wheel,
            facts=facts,
            target=order.target,
            image=image,
            imports=order.imports,
            import_skip=order.import_skip,
            dependencies=self._dependencies(order, wheel, facts, image, stream),
            programs=order.programs,
            timeout=order.timeout,
            cache=self._store.root / "venvs",
        )

    @contextlib.contextmanager
    def _prepared(self, limit: Limit) -> Iterator[None]:
        """One may wait for what is brought or made for another: what moves there counts for all."""
        with self._moving:
            self._preparing.add(limit)
        try:
            yield
        finally:
            with self._moving:
                self._preparing.discard(limit)

    def _moved(self) -> None:
        with self._moving:
            for limit in self._preparing:
                limit.restart()

    def _heard(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._moved()
            yield piece

    def _tell(self, line: str) -> None:
        """A word on the making of an image."""
        self._moved()
        self._say(line)

    def close(self) -> None:
        """End what is at work, and whatever is held for more."""
        self._warm.close()
        self._engine.close()
        with self._lock:
            images = list(self._images.values())
        for one in images:
            one.close()
        self._shelf.prune()

    def _dependencies(
        self, order: Order, wheel: Wheel, facts: WheelFacts, image: Image, stream: Stream
    ) -> Path | None:
        if not order.resolve:
            return (
                None if order.dependencies is None else self._shelf.folder(order.dependencies, stream)
            )
        return resolve_dependencies(
            wheel,
            facts,
            order.target,
            image,
            self._engine,
            cache=self._store.root / "dependencies",
            timeout=order.timeout,
        )

    def _image(self, order: Order, stream: Stream) -> Image:
        """The image that the order names, or the one that this machine makes or pulls."""
        root = order.root
        if root is None:
            return self._provided(order, base="")
        if root.recipe is not None:
            if root.recipe.arch != order.target.arch:
                raise ImageError(f"{root.name} is no image for {order.target.arch}")
            return receive(
                self._store, root.digest, root.recipe, root.name, lambda: stream(root.digest)
            )
        return self._same(self._provided(order, base=root.base), root)

    def _provided(self, order: Order, *, base: str) -> Image:
        target = order.target
        with self._lock:
            images = self._images.setdefault(
                (target.distro.id, base), self._sources(target.distro, base)
            )
        return images.sources.provide(
            target.distro, target.arch, ImagePurpose.TRIAL, interpreter=target.interpreter
        )

    def _sources(self, distro: Distro, base: str) -> RunImages:
        pins = {distro.id: base} if base else {}
        return RunImages(
            engine=self._engine, settings=self._settings, store=self._store, pins=pins, say=self._tell
        )

    @staticmethod
    def _same(image: Image, root: Root) -> Image:
        if image.digest != root.digest:
            raise ImageError(
                f"{root.name}: this worker's image is another one",
                why=f"it has {image.digest}, and {root.digest} was asked for: what its package manager "
                "installs has changed since",
                remedy="pull and provision it anew where the run is started",
            )
        return image

    def _offered(self) -> Offer:
        arch = host_arch()
        registry = uses_registries(self._engine.name, self._settings)
        can_make = shutil.which("mmdebstrap") is not None and arch in DEBIAN_ARCHITECTURES
        held = {stored.record.recipe.distro for stored in self._held(arch)}
        return Offer(
            arch=arch,
            engine=self._engine.name,
            engine_version=self._engine.version(),
            registry=registry,
            distros=tuple(
                distro.id
                for distro in load_catalogue(self._settings.distro).distros
                if arch in distro.architectures
                and (
                    distro.id in held or _obtainable(distro, arch, registry=registry, can_make=can_make)
                )
            ),
        )

    def _held(self, arch: str) -> list[StoredImage]:
        return [stored for stored in self._store.images() if stored.record.arch == arch]


def _obtainable(distro: Distro, arch: str, *, registry: bool, can_make: bool) -> bool:
    return (can_make and distro.has_archive(arch, on_mirrors=True)) or (
        registry and distro.has_image(arch)
    )


def _facts(path: Path) -> tuple[Wheel, WheelFacts]:
    wheel = open_wheel(path)
    if wheel.sha256 != path.parent.name:
        raise StoreError(f"{path} is damaged", remedy="run it again: it is then brought anew")
    return wheel, read_wheel(wheel)
