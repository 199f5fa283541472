"""What a worker of a cluster executes: each trial that a run orders, with its machine's workspace.

What it keeps of other machines' wheels, files by digest, and folders of them:

    wheels/<sha256>/<file name>     one wheel
    folders/<digest>/wheels/        what a wheel depends on: links to files of wheels/
    aside/                          what is on its way

Several workers of one machine share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from pathlib import Path

from pytest_manylinux.cache.directories import aside_folder, make_once, sweep
from pytest_manylinux.cache.integrity import file_digest
from pytest_manylinux.cache.least_recently_used import entries, surplus
from pytest_manylinux.cache.locks import in_turn
from pytest_manylinux.cache.paths import store_errors
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.cluster.protocol import Order, Part, RemoteResult, Root
from pytest_manylinux.cluster.scheduling import Offer
from pytest_manylinux.cluster.worker import MARGIN, PREPARING, Limit
from pytest_manylinux.config.merge import environment_layer, merge
from pytest_manylinux.errors import ImageError, StoreError
from pytest_manylinux.host.architecture import allowed_time, host_arch
from pytest_manylinux.images.apt import DEBIAN_ARCHITECTURES
from pytest_manylinux.images.run_images import uses_registries
from pytest_manylinux.images.store import receive
from pytest_manylinux.inspect.wheel_file import open_wheel
from pytest_manylinux.model.distro import Distro, Image
from pytest_manylinux.model.wheel import SiblingWheel, Wheel, WheelFacts
from pytest_manylinux.trials.suite import SuiteRequest
from pytest_manylinux.trials.trial import TrialRequest
from pytest_manylinux.trials.uv_program import UvProgram
from pytest_manylinux.workspace import Say, Workspace

LIMIT = 20 * 1024**3
"""Bytes of wheels, the least recently used removed first."""

Stream = Callable[[str], Iterable[bytes]]


class WorkerFiles:
    """The files below `root`."""

    def __init__(self, root: Path, *, limit: int = LIMIT) -> None:
        self._root = root
        self._limit = limit
        self._sound: set[str] = set()

    def wheel(self, part: Part, stream: Stream) -> Path:
        """Give a file, brought by `stream` if it is not here, once however many ask.

        Raises StoreError if other bytes come, and what `stream` raises.
        """
        place = self._root / "wheels" / part.sha256 / part.filename
        with store_errors(self._root), self._lock(part.sha256):
            if not self._is_sound(place, part.sha256):
                self._bring(place, part, stream)
            os.utime(place)
            self._sound.add(part.sha256)
        return place

    def folder(self, parts: Sequence[Part], stream: Stream) -> Path:
        """Give a folder with exactly these files."""
        words = "\n".join(f"{part.sha256} {part.filename}" for part in parts)
        place = self._root / "folders" / hashlib.sha256(words.encode()).hexdigest()
        wheels = [self.wheel(part, stream) for part in parts]

        def fill(folder: Path) -> None:
            (folder / "wheels").mkdir()
            for wheel in wheels:
                os.link(wheel, folder / "wheels" / wheel.name)

        return make_once(place, fill) / "wheels"

    def prune(self) -> None:
        """Remove what was used the longest ago until the rest fits; folders go, and are made anew."""
        with contextlib.suppress(OSError, StoreError):
            sweep(self._root / "aside")
            going = tuple(surplus(entries(self._root.glob("wheels/*/*")), max_size=self._limit))
            if going:
                shutil.rmtree(self._root / "folders", ignore_errors=True)
            for wheel in going:
                shutil.rmtree(wheel.path.parent, ignore_errors=True)

    def _bring(self, place: Path, part: Part, stream: Stream) -> None:
        with aside_folder(self._root / "aside") as aside:
            fresh = aside / part.filename
            digest = hashlib.sha256()
            with fresh.open("wb") as file:
                for piece in stream(part.sha256):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != part.sha256:
                raise StoreError(
                    f"{part.filename} came with other bytes than those that were asked for",
                    why=f"its SHA-256 is {digest.hexdigest()}, not {part.sha256}",
                )
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh.replace(place)

    def _is_sound(self, place: Path, sha256: str) -> bool:
        """Whether the file is here with the right bytes; they are read once in a worker's life."""
        if not place.is_file():
            return False
        if sha256 in self._sound:
            return True
        return file_digest(place) == sha256

    def _lock(self, name: str) -> AbstractContextManager[None]:
        folder = self._root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return in_turn(folder / f"{name}.lock")


_FACTS_KEPT = 64  # wheels whose facts are kept: one wheel comes for several targets in a row


class Executor:
    """Does the trials that a cluster's runs order. Thread-safe.

    The variables PYTEST_MANYLINUX_… of the worker's process are its settings. Raises UsageError for a
    wrong one, EngineError if no engine answers, StoreError.
    """

    def __init__(self, *, environment: Mapping[str, str], engine: str = "", say: Say) -> None:
        settings = merge((environment_layer(environment),))
        self._say = say
        self._workspace = Workspace(settings, engine=engine, say=self._tell)
        self._moving = threading.Lock()
        self._preparing: set[Limit] = set()
        self._workspace.engine()
        self._files = WorkerFiles(self._workspace.store.root / "cluster")
        self._files.prune()
        self._read = lru_cache(_FACTS_KEPT)(self._checked)
        self.offer = offer_of(self._workspace)

    def do(self, order: Order, stream: Stream, *, worker: str, limit: Limit) -> RemoteResult:
        """Do a trial as a run on this machine would."""
        self._say(f"{order.target.id}: {order.wheel.filename}")
        with self._prepared(limit):
            request = self._request(order, lambda digest: self._heard(stream(digest)), limit)
        tests = 0.0 if order.suite is None else 2 * order.suite.settings.timeout
        whole = allowed_time(2 * order.timeout + tests, order.target.arch)  # 2: preloaded, then again
        limit.stage("end a trial", whole + MARGIN)
        observation = self._workspace.observe(request)
        survey = None
        if order.root is None:
            survey = self._workspace.survey(order.target.distro, request.image)
        return RemoteResult(
            worker=worker,
            engine=self._workspace.engine_label(),
            observation=observation,
            survey=survey,
        )

    def _request(self, order: Order, stream: Stream, limit: Limit) -> TrialRequest:
        """All that a trial takes, brought and made."""
        limit.stage("bring the wheel", PREPARING)
        wheel, facts = self._read(self._files.wheel(order.wheel, stream))
        limit.stage(f"prepare the image of {order.target.distro.id}", PREPARING)
        image = self._image(order, stream)
        whole = allowed_time(order.timeout, order.target.arch)
        limit.stage("prepare the dependencies", PREPARING + whole)
        return TrialRequest(
            wheel=wheel,
            facts=facts,
            target=order.target,
            image=image,
            imports=order.imports,
            import_skip=order.import_skip,
            import_depth=order.import_depth,
            dependencies=self._dependencies(order, wheel, facts, image, stream),
            programs=order.programs,
            timeout=order.timeout,
            cache=self._workspace.venvs,
            suite=self._suite(order, wheel, facts, image, stream),
            uv=None if order.uv is None else self._uv(order.uv, stream),
            siblings=self._siblings(order, stream),
            extras=order.extras,
            lowest=order.taken_lowest,
        )

    @contextlib.contextmanager
    def _prepared(self, limit: Limit) -> Iterator[None]:
        """Have `limit` restart when anything moves: one may wait for what is made for another."""
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
        self._workspace.close()
        self._files.prune()

    def _checked(self, path: Path) -> tuple[Wheel, WheelFacts]:
        wheel = open_wheel(path)
        if wheel.sha256 != path.parent.name:
            raise StoreError(
                f"{path} is damaged", remedy="run it again, which transfers the file again"
            )
        return wheel, self._workspace.facts(wheel)

    def _dependencies(
        self, order: Order, wheel: Wheel, facts: WheelFacts, image: Image, stream: Stream
    ) -> Path | None:
        if not order.resolve:
            return (
                None if order.dependencies is None else self._files.folder(order.dependencies, stream)
            )
        return self._resolve(order, wheel, facts, image, stream)(extras=order.extras)

    def _resolve(
        self, order: Order, wheel: Wheel, facts: WheelFacts, image: Image, stream: Stream
    ) -> Callable[..., Path | None]:
        return partial(
            self._workspace.dependencies,
            wheel,
            facts,
            order.target,
            image,
            timeout=order.timeout,
            siblings=self._siblings(order, stream),
            lowest=order.lowest,
        )

    def _siblings(self, order: Order, stream: Stream) -> tuple[SiblingWheel, ...]:
        return tuple(
            SiblingWheel(
                wheel=self._read(self._files.wheel(one.part, stream))[0],
                extras=one.extras,
                compiled=one.compiled,
            )
            for one in order.siblings
        )

    def _uv(self, part: Part, stream: Stream) -> UvProgram:
        """The uv of the machine where the run was started; what is brought is not executable yet."""
        path = self._files.wheel(part, stream)
        path.chmod(0o755)
        return UvProgram(path=path, sha256=part.sha256)

    def _suite(
        self, order: Order, wheel: Wheel, facts: WheelFacts, image: Image, stream: Stream
    ) -> SuiteRequest | None:
        """The project's tests; what they require is resolved here if the run has not done it."""
        asked = order.suite
        if asked is None:
            return None
        required = asked.required
        suite = SuiteRequest(
            settings=asked.settings,
            tree=None if asked.tree is None else self._files.wheel(asked.tree, stream),
            required=None if required is None else self._files.folder(required, stream),
        )
        if required is not None or order.root is not None:
            return suite
        resolve = self._resolve(order, wheel, facts, image, stream)
        return self._workspace.prepared_suite(suite, resolve)

    def _image(self, order: Order, stream: Stream) -> Image:
        """The image that the order names, or the one that this machine makes or pulls."""
        root = order.root
        if root is None:
            return self._workspace.image(order.target)
        if root.recipe is not None:
            if root.recipe.arch != order.target.arch:
                raise ImageError(f"{root.name} is no image for {order.target.arch}")
            return receive(
                self._workspace.store, root.digest, root.recipe, root.name, lambda: stream(root.digest)
            )
        return _same(self._workspace.image(order.target, pinned=root.base), root)


def _same(image: Image, root: Root) -> Image:
    if image.digest != root.digest:
        raise ImageError(
            f"{root.name}: this worker's image is another one",
            why=f"it has {image.digest}, and {root.digest} was asked for: what its package manager "
            "installs has changed since",
            remedy="pull and provision it again where the run is started",
        )
    return image


def offer_of(workspace: Workspace) -> Offer:
    """What a machine has for trials: architecture, engine, and distros whose images it can have."""
    arch, engine, settings = host_arch(), workspace.engine(), workspace.settings
    registry = uses_registries(engine.name, settings)
    can_make = shutil.which("mmdebstrap") is not None and arch in DEBIAN_ARCHITECTURES
    stored = [image.record for image in workspace.store.images() if image.record.arch == arch]
    held = {record.recipe.distro for record in stored}
    return Offer(
        arch=arch,
        engine=engine.name,
        engine_version=engine.version(),
        registry=registry,
        distros=tuple(
            distro.id
            for distro in load_catalogue(settings.distro).distros
            if arch in distro.architectures
            and (distro.id in held or _obtainable(distro, arch, registry=registry, can_make=can_make))
        ),
    )


def _obtainable(distro: Distro, arch: str, *, registry: bool, can_make: bool) -> bool:
    return (can_make and distro.has_archive(arch, on_mirrors=True)) or (
        registry and distro.has_image(arch)
    )
