"""Which builder makes a wheel, for which policy, and why; the builder once for each builder image."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.tags import Tag

from pytest_manylinux.building.api import Builder, MakeToolchain, Say
from pytest_manylinux.building.manylinux_image import ImageToolchain, Layout, read_layout
from pytest_manylinux.building.pipeline import Pipeline
from pytest_manylinux.building.zig import zig_toolchain
from pytest_manylinux.cache.locks import once_per_run
from pytest_manylinux.cache.values import ValueCache, code_version, key_of
from pytest_manylinux.catalogue.builder_images import (
    BuilderImage,
    builder_for,
    load_builders,
    prefix_of,
)
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import (
    BuildError,
    EngineError,
    ManylinuxError,
    SandboxError,
    ToolchainError,
)
from pytest_manylinux.images.references import parse_reference
from pytest_manylinux.images.run_images import no_registry
from pytest_manylinux.model.distro import Image, image_file
from pytest_manylinux.model.policy import PolicyChoice, parse_policy
from pytest_manylinux.model.wheel_tags import installable_tags
from pytest_manylinux.plan import PlannedBuild
from pytest_manylinux.run.subjects import BuildJob, Built

if TYPE_CHECKING:
    from pytest_manylinux.workspace import Workspace

AUTO, ZIG, OFFICIAL = "auto", "zig", "official"
_LIMIT = 1024 * 1024  # bytes of what images were seen to hold; some hundreds of them


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderChoice:
    """A builder and why it is the one. `image` is where it builds; None: in a Debian root.

    `policy` is what it builds for, empty while that is not decided; `policy_why` as in BuildRecord.
    """

    builder: Builder
    why: str
    image: Image | None = None
    policy: str = ""
    policy_why: str = ""


class Builders:
    """The builders of one run; `chosen` are those of its builds so far. Thread-safe.

    `pins` are digests of builder images by `POLICY-ARCH`. `shared` is the folder of a run's processes,
    of which one looks into an image for all. `toolchains` are those of plugins, by name.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        pins: Mapping[str, str] | None = None,
        shared: Path | None = None,
        toolchains: Mapping[str, MakeToolchain] | None = None,
    ) -> None:
        self.chosen: dict[tuple[str, str], BuilderChoice] = {}
        self._workspace = workspace
        self._pins = pins or {}
        self._toolchains = toolchains or {}
        self._shared = shared
        self._layouts: dict[tuple[str, str], Layout | ManylinuxError] = {}
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def in_image(self, settings: Settings) -> bool:
        """Whether builds are in a builder image for certain."""
        return settings.builder not in {AUTO, ZIG, *self._toolchains}

    def may_use_zig(self, settings: Settings) -> bool:
        """Whether the compiler that this tool brings is wanted."""
        return settings.builder in {AUTO, ZIG}

    def wants_root(self, settings: Settings) -> bool:
        """Whether builds are in Debian roots for certain; without an engine they are nowhere."""
        try:
            return settings.builder in {ZIG, *self._toolchains} or (
                settings.builder == AUTO and bool(self._never(settings))
            )
        except EngineError:
            return False

    def choose(self, settings: Settings, build: PlannedBuild) -> BuilderChoice:
        """The builder for a planned build.

        Raises ImageError, ToolchainError and EngineError where the image that was asked for cannot
        be used; with `auto` zig takes its place then, unless the engine itself is gone.
        """
        if settings.builder == ZIG:
            return BuilderChoice(builder=_zig(), why=_asked(settings))
        if settings.builder in self._toolchains:
            make = self._toolchains[settings.builder]
            pipeline = Pipeline(name=settings.builder, toolchain=make)
            return BuilderChoice(builder=pipeline, why=_asked(settings))
        if settings.builder != AUTO:
            return self._in_image(settings, build, why=_asked(settings))
        if never := self._never(settings):
            return BuilderChoice(builder=_zig(), why=f"auto: {never}")
        try:
            return self._in_image(settings, build, why="auto: the official image is there")
        except ManylinuxError as error:
            if isinstance(error, EngineError) and not isinstance(error, SandboxError):
                raise
            why = f"auto: {_one_line(error)}"
            with self._lock:
                if why not in self._said:
                    self._said.add(why)
                    self._workspace.say(f"builder: zig; {why}")
            return BuilderChoice(builder=_zig(), why=why)

    def _never(self, settings: Settings) -> str:
        """Why `auto` does not ask for the official image; empty if it does."""
        if without := no_registry(
            self._workspace.engine().name, self._workspace.settings, shared=self._shared
        ):
            return without
        return "build-packages names packages of Debian" if settings.build_packages else ""

    def _in_image(self, settings: Settings, build: PlannedBuild, *, why: str) -> BuilderChoice:
        layout = self._layout(self._reference(settings, build), build.arch)
        if layout.python(build.python) is None:
            raise ToolchainError(
                f"image {layout.image.name} has no {build.python}",
                why=f"in /opt/python are {', '.join(layout.pythons)}",
                remedy="set builder = zig, name another image as builder, or set python",
            )
        if settings.build_packages:
            raise ToolchainError(
                f"build-packages cannot be installed into the image {layout.image.name}",
                why="a builder image is used as it is",
                remedy="let before-build make what the build needs, name an image that has it as "
                "builder, or set builder = zig",
            )
        name = OFFICIAL if settings.builder in {AUTO, OFFICIAL} else settings.builder
        pipeline = Pipeline(name=name, toolchain=ImageToolchain(layout=layout))
        return BuilderChoice(builder=pipeline, why=why, image=layout.image)

    def _reference(self, settings: Settings, build: PlannedBuild) -> str:
        if settings.builder not in {AUTO, OFFICIAL}:
            return settings.builder
        image = builder_for(load_builders(), build.policy, build.arch)
        if image is None:
            raise ToolchainError(
                f"there is no official image that builds for {build.policy} on {build.arch}",
                remedy="set builder = zig, or name an image as builder",
            )
        return self._pinned(image)

    def _pinned(self, image: BuilderImage) -> str:
        pinned = self._pins.get(f"{image.policy}-{image.arch}")
        return f"{image.repository}@{pinned}" if pinned else image.reference

    def _layout(self, reference: str, arch: str) -> Layout:
        """Pull and look into an image, once per run; raises the same error each time."""
        with self._lock:
            if (reference, arch) not in self._layouts:
                key = ("layout", reference, arch)
                try:
                    self._layouts[reference, arch] = once_per_run(
                        self._shared, key, lambda: self._look(reference, arch)
                    )
                except ManylinuxError as error:
                    self._layouts[reference, arch] = error
            found = self._layouts[reference, arch]
        if isinstance(found, ManylinuxError):
            raise found
        return found

    def _look(self, reference: str, arch: str) -> Layout:
        images = self._workspace.images
        if (file := image_file(reference)) is not None:
            kind, path = file[0], str(Path(file[1]).expanduser().absolute())
            pulled = images.of_file(kind, path, arch, title="builder")
            name = reference
        else:
            pulled = images.builders.obtain(reference, arch, title="builder")
            name = str(parse_reference(pulled.reference).repository)
        image = pulled.image(f"{name}@{pulled.digest}", arch, note=pulled.note)
        return layout_of(
            image,
            self._workspace.engine(),
            prefix=prefix_of(arch),
            root=self._workspace.store.root / "layouts",
            say=self._workspace.say,
        )


def _zig() -> Pipeline:
    """The builder for Debian roots."""
    return Pipeline(name=ZIG, toolchain=zig_toolchain)


def _asked(settings: Settings) -> str:
    return f"set by {settings.source('builder')}"


def _one_line(error: ManylinuxError) -> str:
    why = error.why.strip().splitlines()
    return f"{error.what}: {why[0]}" if why else error.what


def layout_of(image: Image, engine: Engine, *, prefix: tuple[str, ...], root: Path, say: Say) -> Layout:
    """The image's layout, kept below `root` by its digest: the same image is looked into once.

    Raises what read_layout raises.
    """
    kept = ValueCache(root, Layout, limit=_LIMIT)
    key = key_of(code_version("building"), engine.name, image.digest, prefix)
    known = kept.recall(key)
    if known is not None:
        return replace(known, image=image)
    say(f"builder: looking into {image.name}")
    layout = read_layout(image, engine, prefix=prefix)
    kept.keep(key, layout)
    kept.prune()
    return layout


async def for_the_policy_it_needs(
    job: BuildJob, first: Built | None, attempt: Callable[[BuildJob, str], Awaitable[Built]], say: Say
) -> Built:
    """Build for the job's policy; with `auto`, once, for the next one that a failure asks for.

    A project's `first` build decides what its other Pythons begin with; on another distro, a library
    that they link can be newer, and ask for more. `attempt` makes one build; its second
    argument is what kept the older policy from being built for. Raises what the last attempt raises.
    """
    why = ""
    if (
        first is not None
        and first.record.policy_why
        and (same := _newer(job.build.choice, first.record.policy))
    ):
        job, why = _for_policy(job, same), first.record.policy_why
    old = job.build.policy
    try:
        return await attempt(job, why)
    except BuildError as error:
        newer = _newer(job.build.choice, error.policy)
        if newer is None:
            raise
        why = error.because
    say(f"{job.subject.group}: {job.build.id}: {why}: building for {newer.policy}, not for {old}")
    try:
        return await attempt(_for_policy(job, newer), why)
    except BuildError as error:
        error.why = "\n".join(filter(None, (error.why, f"{old} was tried first: {why}")))
        raise


def _for_policy(job: BuildJob, choice: PolicyChoice) -> BuildJob:
    return replace(job, build=replace(job.build, choice=choice))


def _newer(choice: PolicyChoice, policy: str) -> PolicyChoice | None:
    """The choice of a policy that is asked for; None if the choice is strict, or it would not help."""
    if not choice.auto or not policy:
        return None
    wanted = parse_policy(policy)
    helps = wanted.kind is choice.kind and wanted > choice.policy
    return replace(choice, policy=wanted) if helps else None


def tags_fit(build: PlannedBuild, policy: str, tags: frozenset[Tag]) -> bool:
    """Whether a wheel with these tags, built for `policy`, serves another build's Python too.

    A build that `auto` chooses the policy for takes it for what the first one came to.
    """
    came_to = parse_policy(policy)
    follows = build.choice.auto and came_to.kind is build.choice.kind
    libc = (came_to if follows else build.policy).libc
    own = installable_tags(build.python, libc, build.arch, build.python.abi)
    return not own.isdisjoint(tags)
