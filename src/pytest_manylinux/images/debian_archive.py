"""Images made from a distribution's archive, where no registry is."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_manylinux.cache.paths import full
from pytest_manylinux.errors import ImageError, ManylinuxError
from pytest_manylinux.host.architecture import emulation_of
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.apt import (
    DEBIAN_ARCHITECTURES,
    MachineApt,
    named_mirror,
    variable,
    ways_of,
    words_of,
)
from pytest_manylinux.images.failure import explain_failure, in_short, missing_files, ran_out_of_room
from pytest_manylinux.images.image_progress import Progress
from pytest_manylinux.images.mmdebstrap import Making, MmdebstrapFailedError, run_mmdebstrap
from pytest_manylinux.images.recipe import MUSL, Recipe, recipe_of
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import (
    ArchiveRecipe,
    ArchiveWay,
    Distro,
    Image,
    ImagePurpose,
    Interpreter,
)


def _silent(message: str) -> None:
    del message


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is asked of `provide`, and what the ways so far did not have."""

    distro: Distro
    archive: ArchiveRecipe
    arch: str
    purpose: ImagePurpose
    extra_packages: tuple[str, ...]
    interpreter: Interpreter
    lacking: str = ""

    @property
    def title(self) -> str:
        """What progress and errors call it."""
        trial = self.purpose is ImagePurpose.TRIAL
        return self.distro.id if trial else f"{self.distro.id} with headers"

    @property
    def plain(self) -> _Wish:
        """The trial image that this one is, or is grown from."""
        return replace(self, purpose=ImagePurpose.TRIAL, extra_packages=())

    def recipe(self, way: ArchiveWay) -> Recipe:
        """How it is made by one way."""
        return recipe_of(
            self.distro,
            self.archive,
            self.arch,
            self.purpose,
            extra_packages=self.extra_packages,
            interpreter=self.interpreter,
            way=way,
            unpacked=emulation_of(self.arch).emulated,
        )


class _LackingError(Exception):
    """By this way the archive lacks something; `error` says it for people, `lacking` in short."""

    def __init__(self, lacking: str, error: ImageError) -> None:
        super().__init__(lacking)
        self.lacking, self.error = lacking, error


@dataclass(frozen=True)
class ArchiveImages:
    """Debian-style roots in `store`, made with mmdebstrap from the machine's own mirrors.

    `say` gets progress, a short line at a time. A way that the archive lacked something for is not
    tried again by the same object.
    """

    store: ImageStore
    say: Say = _silent
    apt: MachineApt = field(default_factory=MachineApt)
    _failed: dict[str, _LackingError] = field(default_factory=dict, repr=False)

    def provide(
        self,
        distro: Distro,
        arch: str,
        purpose: ImagePurpose,
        extra_packages: tuple[str, ...] = (),
        *,
        interpreter: Interpreter,
    ) -> Image:
        """See `ImageProvider.provide`. A build image is the trial image, grown by headers.

        The first of the row's ways that works is taken, and the image's `note` says so unless that is
        the first of all; an image that is here already by any of them is taken as it is.
        """
        archive = _archive(distro, arch)
        if archive.from_source and emulation_of(arch).emulated:
            raise ImageError(
                f"{distro.id} is built on a machine of its own architecture only, not emulated",
                remedy=f"prove on it on a machine that runs {arch}",
            )
        wish = _Wish(
            distro=distro,
            archive=archive,
            arch=arch,
            purpose=purpose,
            extra_packages=extra_packages,
            interpreter=interpreter,
        )
        found = self._found(wish, ways_of(archive))
        return found or self._first(wish, self._ways(wish))

    def _ways(self, wish: _Wish) -> tuple[ArchiveWay, ...]:
        """The ways to try; for a build none before that of the trial image that is here."""
        ways = ways_of(wish.archive)
        if wish.purpose is ImagePurpose.TRIAL:
            return ways
        here = (way for way in ways if self.store.find(wish.plain.recipe(way)) is not None)
        return ways[ways.index(next(here, ways[0])) :]

    def _found(self, wish: _Wish, ways: tuple[ArchiveWay, ...]) -> Image | None:
        found = (self.store.find(wish.recipe(way)) for way in ways)
        return next((image for image in found if image is not None), None)

    def _first(self, wish: _Wish, ways: tuple[ArchiveWay, ...]) -> Image:
        """The image by the first way that works; raises ImageError with what each of them lacked."""
        failures: list[tuple[ArchiveWay, _LackingError]] = []
        for way in ways:
            lacking = "; ".join(error.lacking for _, error in failures)
            try:
                return self._by(way, replace(wish, lacking=lacking), ways)
            except _LackingError as error:
                failures.append((way, error))
                self._go_on(wish, way, ways, error.lacking)
            except ImageError as error:
                # What kept a later way from working must not hide what the first one lacked.
                if not failures:
                    raise
                failures.append((way, _LackingError(error.why or error.what, error)))
                self._go_on(wish, way, ways, error.why or error.what)
        raise _nothing_left(wish, failures)

    def _go_on(self, wish: _Wish, way: ArchiveWay, ways: tuple[ArchiveWay, ...], lacking: str) -> None:
        if way is not ways[-1]:
            self.say(f"{wish.title}: {words_of(way)}: {lacking}")
            self.say(f"{wish.title}: going on with {words_of(ways[ways.index(way) + 1])}")

    def _by(self, way: ArchiveWay, wish: _Wish, ways: tuple[ArchiveWay, ...]) -> Image:
        """The image by one way, or by another one if a second run makes it so meanwhile."""
        recipe = wish.recipe(way)
        base = self._base(way, wish) if recipe.base else None

        def waiting(message: str) -> None:
            self.say(f"{wish.title}: {message}")

        with self.store.making(recipe, waiting=waiting):
            found = self._found(wish, ways) if base is None else self.store.find(recipe)
            if found is not None:
                return found
            if recipe.key not in self._failed:
                try:
                    return self._make(recipe, wish, base)
                except _LackingError as error:
                    self._failed[recipe.key] = error
            raise self._failed[recipe.key]

    def _base(self, way: ArchiveWay, wish: _Wish) -> Image:
        """What a build image is grown from: a root by the same way, or versions would not fit."""
        plain = wish.plain
        return self.store.find(plain.recipe(way)) or self._by(way, plain, (way,))

    def _make(self, recipe: Recipe, wish: _Wish, base: Image | None) -> Image:
        # Two makings of one suite share its package cache, and so take turns.
        with self.store.locked(f"apt-{recipe.suite}-{recipe.arch}", waiting=lambda _: None):
            started = time.monotonic()
            self.say(f"{wish.title}: making the root, once")
            try:
                return self._attempt(recipe, wish, base)
            finally:
                self.say(f"{wish.title}: {time.monotonic() - started:.0f} s")

    def _attempt(self, recipe: Recipe, wish: _Wish, base: Image | None) -> Image:
        started, title = time.monotonic(), wish.title
        with self.store.aside() as folder:
            making = Making(
                recipe=recipe,
                sources=self._sources(recipe, wish),
                transport=self.apt.transport(),
                check_valid_until=_checks_dates(recipe, wish.archive),
                folder=folder,
                apt_cache=self.store.apt_cache(recipe.suite, recipe.arch),
                base=None if base is None or base.root is None else Path(base.root),
            )
            try:
                run_mmdebstrap(making, Progress(title, self.say).feed)
            except MmdebstrapFailedError as error:
                failure = self._explain(title, error.lines, folder / "log")
                missing = missing_files(error.lines)
                if missing and isinstance(failure, ImageError):
                    raise _LackingError(in_short(missing), failure) from error
                raise failure from error
            _tidy(folder)
            name, seconds = title.replace(" with ", "+"), time.monotonic() - started
            return self.store.adopt(folder, recipe, name=name, seconds=seconds, lacking=wish.lacking)

    def _sources(self, recipe: Recipe, wish: _Wish) -> tuple[str, ...]:
        try:
            lines = self.apt.sources(wish.archive, recipe.way)
            return (*lines, *map(as_source, lines)) if recipe.variant == MUSL else lines
        except ImageError as error:
            if recipe.way is ArchiveWay.OLD_RELEASES:
                raise _LackingError(error.what, error) from error
            raise

    def _explain(self, title: str, lines: tuple[str, ...], log: Path) -> ManylinuxError:
        if words := ran_out_of_room(lines):
            return full(self.store.root, words)
        kept = self.store.root / "logs" / f"{title.replace(' ', '-')}.log"
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, kept)
        except OSError:
            return explain_failure(title, lines, None)
        return explain_failure(title, lines, kept)


def _checks_dates(recipe: Recipe, archive: ArchiveRecipe) -> bool:
    """Old releases are signed no more: their Release files are past their dates for good."""
    return archive.check_valid_until and recipe.way is not ArchiveWay.OLD_RELEASES


def as_source(line: str) -> str:
    """The line of a sources.list for the source packages of the same place."""
    return f"deb-src {line.removeprefix('deb ')}"


def _nothing_left(wish: _Wish, failures: list[tuple[ArchiveWay, _LackingError]]) -> ImageError:
    """The error when no way is left: what each lacked, and what to do of the first that had a cure."""
    why = "; ".join(f"{words_of(way)}: {error.lacking}" for way, error in failures)
    way, first = failures[0]
    what = first.error.what
    if not what.startswith(wish.distro.id):
        what = f"{wish.title} could not be made: {what}"
    old = variable(wish.archive.origin, "old")
    told = way is ArchiveWay.OLD_RELEASES or named_mirror(wish.archive.origin, "old")
    mirror = "" if told else f"name a mirror of old releases in {old}"
    return ImageError(what, why=why, remedy="; ".join(filter(None, (mirror, first.error.remedy))))


def _tidy(folder: Path) -> None:
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    (folder / "apt.conf").unlink(missing_ok=True)


def _archive(distro: Distro, arch: str) -> ArchiveRecipe:
    if distro.archive is None:
        raise ImageError(
            f"there is no archive recipe for {distro.id}",
            remedy="prove on it with a container engine, or choose distros of the group `embedded`",
        )
    if arch not in DEBIAN_ARCHITECTURES or not distro.has_archive(arch):
        there = [name for name in distro.architectures if distro.has_archive(name)]
        raise ImageError(
            f"the archive does not have {distro.id} for {arch}", remedy=f"it has {', '.join(there)}"
        )
    return distro.archive
