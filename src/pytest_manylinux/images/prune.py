"""Make room in the store; never at the cost of a run that is under way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pytest_manylinux.cache.directories import remove_tree, sweep
from pytest_manylinux.cache.least_recently_used import CacheEntry, surplus
from pytest_manylinux.cache.locks import hold_alone
from pytest_manylinux.cache.paths import store_errors
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
    chosen = choose(images, wish, now or datetime.now(tz=timezone.utc))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate(CacheEntry):
    """An image as an entry of a cache."""

    image: StoredImage


def choose(images: Sequence[StoredImage], wish: PrunePolicy, now: datetime) -> tuple[StoredImage, ...]:
    """The images that a wish names, in the order they come in."""
    found = [
        _Candidate(path=image.folder, size=image.record.size, used=image.used.timestamp(), image=image)
        for image in images
    ]
    going = surplus(
        found,
        max_size=wish.max_size,
        max_count=0 if wish.everything else None,
        max_age=None if wish.unused_for is None else wish.unused_for.total_seconds(),
        now=now.timestamp(),
    )
    chosen = {id(candidate.image) for candidate in going}
    return tuple(image for image in images if id(image) in chosen)


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
