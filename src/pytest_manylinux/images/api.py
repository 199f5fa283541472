"""The protocol of image providers: where a root filesystem for a target comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, Interpreter

Say = Callable[[str], None]


class ImageProvider(Protocol):
    """Makes or fetches images. Safe to call from several threads and processes at once."""

    def provide(
        self,
        distro: Distro,
        arch: str,
        purpose: ImagePurpose,
        extra_packages: tuple[str, ...] = (),
        *,
        interpreter: Interpreter,
    ) -> Image:
        """Give the image of `distro` on `arch` with `interpreter`, making it if need be.

        A BUILD image has the interpreter's headers and `extra_packages` (names as the distro's
        package manager takes them); a TRIAL image has neither. The image stays usable until this
        process ends. Raises ImageError or StoreError.
        """
