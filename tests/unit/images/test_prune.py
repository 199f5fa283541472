from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.images.prune import PrunePolicy, choose, prune
from pytest_manylinux.images.recipe import Recipe
from pytest_manylinux.images.store import ImageRecord, ImageStore, StoredImage
from pytest_manylinux.model.distro import Image

NOW = datetime(2026, 1, 31, tzinfo=timezone.utc)


def _stored(age: int, size: int) -> StoredImage:
    record = ImageRecord(
        digest=f"sha256:{age}-{size}",
        name="debian-12",
        arch="x86_64",
        recipe=Recipe(distro="debian-12", suite="s", arch="x86_64", packages=()),
        packages=(),
        made=NOW,
        size=size,
        seconds=1,
    )
    return StoredImage(folder=Path("x"), record=record, used=NOW - timedelta(days=age))


IMAGES = st.lists(st.builds(_stored, st.integers(0, 60), st.integers(1, 100))).map(
    lambda images: sorted(images, key=lambda image: image.used, reverse=True)
)


@given(IMAGES, st.integers(0, 300))
def test_what_stays_fits_the_size(images: list[StoredImage], limit: int) -> None:
    gone = list(choose(images, PrunePolicy(max_size=limit), NOW))
    assert sum(i.record.size for i in images) - sum(i.record.size for i in gone) <= limit


@given(IMAGES, st.integers(0, 60))
def test_what_was_used_lately_stays(images: list[StoredImage], days: int) -> None:
    gone = list(choose(images, PrunePolicy(unused_for=timedelta(days=days)), NOW))
    assert gone == [image for image in images if NOW - image.used > timedelta(days=days)]


@given(IMAGES)
def test_without_a_wish_every_image_stays(images: list[StoredImage]) -> None:
    assert list(choose(images, PrunePolicy(), NOW)) == []
    assert list(choose(images, PrunePolicy(everything=True), NOW)) == images


def test_pruning_all_takes_images_and_side_caches_but_not_what_is_in_use(
    store: ImageStore, adopt: Callable[..., Image]
) -> None:
    adopt("debian-12", base="1")
    (store.root / "apt").mkdir()
    other = ImageStore(store.root)
    done = prune(other, PrunePolicy(everything=True))
    assert [image.record.name for image in done.in_use] == ["debian-12"]
    assert (store.root / "apt").is_dir()


def test_pruning_all_of_an_idle_store_empties_it(tmp_path: Path, adopt: Callable[..., Image]) -> None:
    store = ImageStore(tmp_path / "idle")
    image = adopt("debian-12", into=store, base="1")
    (store.root / "apt/lists").mkdir(parents=True)
    (store.root / "apt/lists/big").write_bytes(b"x" * 50_000)
    store.release()
    done = prune(ImageStore(store.root), PrunePolicy(everything=True))
    assert [stored.record.digest for stored in done.removed] == [image.digest]
    assert done.freed >= 60_000
    assert not (store.root / "apt").exists()
    assert list(store.root.glob("images/*/*")) == []


def test_pruning_a_store_that_was_never_used_does_nothing(tmp_path: Path) -> None:
    done = prune(ImageStore(tmp_path / "none"), PrunePolicy(everything=True))
    assert (done.removed, done.freed, done.leftovers) == ((), 0, 0)
    assert not (tmp_path / "none").exists()
