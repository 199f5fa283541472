"""Images made from a distribution's archive, where no registry is."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from pytest_manylinux.errors import ImageError, ManylinuxError
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.apt import DEBIAN_ARCHITECTURES, MachineApt, is_security
from pytest_manylinux.images.failure import explain_failure, ran_out_of_room
from pytest_manylinux.images.mmdebstrap import Making, MmdebstrapFailedError, run_mmdebstrap
from pytest_manylinux.images.progress import Progress
from pytest_manylinux.images.recipe import Recipe, recipe_of
from pytest_manylinux.images.refusal import full
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import ArchiveRecipe, Distro, Image, ImagePurpose, Interpreter


def _silent(message: str) -> None:
    del message


@dataclass(frozen=True)
class ArchiveImages:
    """Debian-style roots in `store`, made with mmdebstrap from the machine's own mirrors.

    `say` gets progress, a short line at a time.
    """

    store: ImageStore
    say: Say = _silent
    apt: MachineApt = field(default_factory=MachineApt)

    def provide(
        self,
        distro: Distro,
        arch: str,
        purpose: ImagePurpose,
        extra_packages: tuple[str, ...] = (),
        *,
        interpreter: Interpreter,
    ) -> Image:
        """See `ImageProvider.provide`. A build image is the trial image, grown by headers."""
        archive = _archive(distro, arch)
        recipe = recipe_of(
            distro,
            archive,
            arch,
            purpose,
            extra_packages=extra_packages,
            interpreter=interpreter,
        )
        found = self.store.find(recipe)
        if found is not None:
            return found
        title = distro.id if purpose is ImagePurpose.TRIAL else f"{distro.id} with headers"
        base = (
            self.provide(distro, arch, ImagePurpose.TRIAL, interpreter=interpreter)
            if recipe.base
            else None
        )

        def waiting(message: str) -> None:
            self.say(f"{title}: {message}")

        with self.store.making(recipe, waiting=waiting):
            found = self.store.find(recipe)
            return found or self._make(recipe, archive, base, title)

    def _make(self, recipe: Recipe, archive: ArchiveRecipe, base: Image | None, title: str) -> Image:
        # Two makings of one suite share its package cache, and so take turns.
        with self.store.locked(f"apt-{recipe.suite}-{recipe.arch}", waiting=lambda _: None):
            started = time.monotonic()
            self.say(f"{title}: making the root, once")
            try:
                return self._attempt(recipe, archive, base, title, extras=True)
            except _NoExtrasError as error:
                self.say(f"{title}: going on without {error}")
                return self._attempt(recipe, archive, base, title, extras=False)
            finally:
                self.say(f"{title}: {time.monotonic() - started:.0f} s")

    def _attempt(
        self, recipe: Recipe, archive: ArchiveRecipe, base: Image | None, title: str, *, extras: bool
    ) -> Image:
        started = time.monotonic()
        with self.store.aside() as folder:
            making = Making(
                recipe=recipe,
                sources=self.apt.sources(archive, extras=extras),
                transport=self.apt.transport(),
                check_valid_until=archive.check_valid_until,
                folder=folder,
                apt_cache=self.store.apt_cache(recipe.suite, recipe.arch),
                base=None if base is None or base.root is None else Path(base.root),
            )
            try:
                run_mmdebstrap(making, Progress(title, self.say).feed)
            except MmdebstrapFailedError as error:
                if extras and len(making.sources) > 1 and (missing := _missing_extra(error.lines)):
                    raise _NoExtrasError(missing) from error
                raise self._explain(title, error.lines, folder / "log") from error
            _tidy(folder)
            seconds = time.monotonic() - started
            return self.store.adopt(folder, recipe, name=title.replace(" with ", "+"), seconds=seconds)

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


class _NoExtrasError(Exception):
    """The mirror does not have the suites of updates or security; its word names one."""


def _missing_extra(lines: tuple[str, ...]) -> str:
    for line in lines:
        if "does not have a Release file" in line or "404" in line:
            for word in line.replace("'", " ").split():
                if is_security(word) or word.endswith("-updates"):
                    return word
    return ""


def _tidy(folder: Path) -> None:
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    (folder / "apt.conf").unlink(missing_ok=True)


def _archive(distro: Distro, arch: str) -> ArchiveRecipe:
    if distro.archive is None:
        raise ImageError(
            f"there is no archive recipe for {distro.id}",
            remedy="prove on it with a container engine, or choose distros of the group `embedded`",
        )
    if not distro.archive.live:
        raise ImageError(
            f"{distro.id} has left the mirrors for the historical archive",
            remedy="prove on it with a container engine, or choose a newer release",
        )
    if arch not in DEBIAN_ARCHITECTURES or arch not in distro.architectures:
        raise ImageError(
            f"{distro.id} does not exist for {arch}",
            remedy=f"it exists for {', '.join(distro.architectures)}",
        )
    return distro.archive
