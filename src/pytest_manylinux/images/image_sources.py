"""Where a distro's image comes from: a registry, an archive, or whichever of them answers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from pytest_manylinux.errors import ImageError
from pytest_manylinux.images.api import ImageProvider, Say
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, Interpreter


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
