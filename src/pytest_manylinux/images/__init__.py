"""Where root filesystems come from, and the store that keeps them."""

from __future__ import annotations

from pytest_manylinux.images.api import ImageProvider
from pytest_manylinux.images.debian_archive import ArchiveImages
from pytest_manylinux.images.store import ImageStore

__all__ = ["ArchiveImages", "ImageProvider", "ImageStore"]
