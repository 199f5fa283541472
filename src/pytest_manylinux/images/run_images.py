"""Where a distro's image comes from: a registry, an archive, or whichever of them answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import EngineError, ImageError, ReportError
from pytest_manylinux.images.api import ImageProvider, Say
from pytest_manylinux.images.debian_archive import ArchiveImages
from pytest_manylinux.images.references import parse_mirrors
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.indexes import host_certificates, host_proxies
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, Interpreter

if TYPE_CHECKING:
    from pytest_manylinux.images.registry import RegistryImages


@dataclass(frozen=True, kw_only=True)
class ImageSources:
    """Images as the setting `image-source` wants them.

    `registry` is None for an engine that has none. With `auto` an official image is pulled where it
    can be, and else made from the archive where the catalogue knows how; the image's own `source`
    says which it was, and its `note` why. `pinned` distros (by id) come as they are pinned or not at
    all.
    """

    archive: ImageProvider
    registry: ImageProvider | None
    choice: str
    say: Say
    pinned: Collection[str] = ()
    _told: set[str] = field(default_factory=set, repr=False)

    def provide(
        self,
        distro: Distro,
        arch: str,
        purpose: ImagePurpose,
        extra_packages: tuple[str, ...] = (),
        *,
        interpreter: Interpreter,
    ) -> Image:
        """See `ImageProvider.provide`."""
        first, second = self._order(distro, arch)
        try:
            return first.provide(distro, arch, purpose, extra_packages, interpreter=interpreter)
        except ImageError as error:
            if second is None:
                raise
            reason = error
        note = f"not the official image, but a root from the archive: {reason.why or reason.what}"
        if distro.id not in self._told:
            self._told.add(distro.id)
            self.say(f"{distro.id}: {note}")
        try:
            image = second.provide(distro, arch, purpose, extra_packages, interpreter=interpreter)
        except ImageError as error:
            why = f"{error.why} (and before: {reason.what}: {reason.why})"
            raise ImageError(error.what, why=why, remedy=error.remedy) from reason
        return replace(image, note="; ".join(filter(None, (note, image.note))))

    def _order(self, distro: Distro, arch: str) -> tuple[ImageProvider, ImageProvider | None]:
        """The source to ask, and the one to ask if that fails."""
        if self.choice == "archive" or self.registry is None:
            if self.choice == "registry":
                raise ImageError(
                    f"{distro.id}: image-source is registry, but this engine has no registries",
                    remedy="set engine to docker or podman, or image-source to auto",
                )
            return self.archive, None
        if not distro.has_image(arch) and self.choice != "registry":
            return self.archive, None
        may_differ = self.choice == "auto" and distro.id not in self.pinned
        return self.registry, self.archive if may_differ and distro.has_archive(arch) else None


TAGS = "registry-tags.json"
"""In the cache folder: which digest each reference led to when a run last pulled it."""

BUBBLEWRAP = "bubblewrap"


class RunImages:
    """A run's provider of images. `registry` is None where distros' images are from no registry.

    `builders` is where builder images are from, whatever `image-source` says of distros; it is None
    where the engine has no registries. `pins` are digests by distro id; they bind images of
    registries only.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        settings: Settings,
        store: ImageStore,
        pins: Mapping[str, str],
        say: Say,
    ) -> None:
        self._tags = store.root / TAGS
        self._known = read_tags(self._tags)
        mirrors = parse_mirrors(settings.registry_mirror)
        none = engine.name == BUBBLEWRAP
        self.builders = None if none else registry_of(engine, store, mirrors=mirrors, say=say)
        self.registry = self.builders if uses_registries(engine.name, settings) else None
        if self.builders is not None:
            self.builders.pins = pins
            self.builders.known = dict(self._known)
        self.sources = ImageSources(
            archive=ArchiveImages(store, say=say),
            registry=self.registry,
            choice=settings.image_source,
            say=say,
            pinned=pins,
        )

    def close(self) -> None:
        """Keep what tags led to, for the next run; a cache that cannot be written keeps nothing."""
        if self.builders is None or self.builders.known == self._known:
            return
        news = {k: v for k, v in self.builders.known.items() if self._known.get(k) != v}
        content = msgspec.json.encode({**read_tags(self._tags), **news}, order="sorted")
        with contextlib.suppress(ReportError):
            write_atomically(self._tags, msgspec.json.format(content, indent=1) + b"\n")


def read_tags(path: Path) -> dict[str, str]:
    """Digests by reference; empty if there is no such file or it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def uses_registries(engine: str, settings: Settings) -> bool:
    """Whether images may come from registries, and so whether pins bind."""
    return engine != BUBBLEWRAP and settings.image_source != "archive"


def registry_of(
    engine: Engine, store: ImageStore, *, mirrors: Mapping[str, str], say: Say
) -> RegistryImages:
    """Images of registries through an engine's API, by the machine's proxies and certificates.

    Raises EngineError for an engine that knows no registries.
    """
    from pytest_manylinux.engines.container.engine import ContainerEngine  # noqa: PLC0415 - bubblewrap needs no SDK
    from pytest_manylinux.images.registry import Network, RegistryImages  # noqa: PLC0415 - the same

    if not isinstance(engine, ContainerEngine):
        raise EngineError(f"the engine {engine.name} has no registries")
    return RegistryImages(
        api=engine.api,
        engine=engine.name,
        say=say,
        mirrors=mirrors,
        network=Network(proxies=host_proxies(), ca_bundle=host_certificates()),
        locked=_locks_of(store, say),
    )


def _locks_of(store: ImageStore, say: Say) -> Callable[[str], AbstractContextManager[None]]:
    return lambda name: store.locked(name, waiting=lambda words: say(f"{name}: {words}"))
