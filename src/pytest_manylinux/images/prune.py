"""Make room in the store; never at the cost of a run that is under way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pytest_manylinux.cache.disk_errors import store_errors
from pytest_manylinux.cache.locks import hold_alone
from pytest_manylinux.cache.staging import remove_tree, sweep
from pytest_manylinux.images.store import ImageStore, StoredImage, folder_size

_OWN = frozenset({"images", "recipes", "aside", "locks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePolicy:
    """What is to go. Without any of these, only what dead runs left half-made.

    `unused_for`: images that no run took for that long; `max_size`: the least recently used images,
    until the rest takes at most that many bytes; `everything`: all images and side caches.
    """

    everything: bool = False
    unused_for: timedelta | None = None
    max_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What went, what had to stay because a run uses it, and the bytes that this freed."""

    removed: tuple[StoredImage, ...]
    in_use: tuple[StoredImage, ...]
    freed: int
    leftovers: int


def prune(store: ImageStore, wish: PrunePolicy, *, now: datetime | None = None) -> Pruned:
    """Remove what `wish` names; raises StoreError if the folder cannot be written."""
    with store_errors(store.root):
        leftovers = sweep(store.root / "aside")
    images = store.images()
    chosen = list(choose(images, wish, now or datetime.now(tz=timezone.utc)))
    removed = [image for image in chosen if store.remove(image)]
    freed = sum(image.record.size for image in removed)
    if wish.everything:
        freed += _remove_side_caches(store)
    return Pruned(
        removed=tuple(removed),
        in_use=tuple(image for image in chosen if image not in removed),
        freed=freed,
        leftovers=leftovers,
    )


def choose(images: Sequence[StoredImage], wish: PrunePolicy, now: datetime) -> Iterator[StoredImage]:
    """The images that a wish names; `images` come most recently used first."""
    kept = 0
    for image in images:
        too_old = wish.unused_for is not None and now - image.used > wish.unused_for
        too_much = wish.max_size is not None and kept + image.record.size > wish.max_size
        if wish.everything or too_old or too_much:
            yield image
        else:
            kept += image.record.size


def side_caches(store: ImageStore) -> Iterator[tuple[str, int]]:
    """(name, bytes) of each folder that only saves work: downloads, compilers' caches, wheels."""
    folders = sorted(store.root.iterdir()) if store.root.is_dir() else []
    for folder in folders:
        if folder.is_dir() and folder.name not in _OWN:
            yield folder.name, folder_size(folder)


def _remove_side_caches(store: ImageStore) -> int:
    """Remove them unless a run is under way; the bytes that this freed."""
    with store_errors(store.root):
        if not store.root.is_dir():
            return 0
        held = hold_alone(store.runs_lock, create=True)
        if held is None:
            return 0
        try:
            sizes = dict(side_caches(store))
            for name in sizes:
                remove_tree(store.root / name)
        finally:
            os.close(held)
    return sum(sizes.values())
