"""The one policy for making room."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.cache.least_recently_used import CacheEntry, entries, remove_surplus, surplus

NOW = 1000.0
ENTRIES = st.lists(
    st.builds(
        CacheEntry,
        path=st.just(Path("x")),
        size=st.integers(0, 50),
        used=st.floats(0, NOW, allow_nan=False),
    ),
    max_size=12,
)


@given(ENTRIES, st.integers(0, 200))
def test_what_stays_fits_and_no_more_goes_than_has_to(found: list[CacheEntry], limit: int) -> None:
    going = list(surplus(found, max_size=limit, now=NOW))
    size = sum(entry.size for entry in found) - sum(entry.size for entry in going)
    assert size <= limit
    if going:
        assert size + going[-1].size > limit or going[-1].size > limit


@given(ENTRIES, st.integers(0, 200))
def test_nothing_goes_that_was_used_after_what_stays(found: list[CacheEntry], limit: int) -> None:
    going = [entry for entry in surplus(found, max_size=limit, now=NOW) if entry.size <= limit]
    staying = [entry for entry in found if not any(entry is gone for gone in going)]
    staying = [entry for entry in staying if entry.size <= limit]
    last = max((entry.used for entry in going), default=0)
    assert all(entry.used >= last for entry in staying)


@given(ENTRIES, st.integers(0, 12), st.floats(0, NOW))
def test_what_was_used_just_now_stays_whatever_the_count(
    found: list[CacheEntry], count: int, spared: float
) -> None:
    going = list(surplus(found, max_count=count, spared=spared, now=NOW))
    assert all(NOW - entry.used >= spared for entry in going)
    left = len(found) - len(going)
    assert left <= max(count, sum(NOW - entry.used < spared for entry in found))


@given(ENTRIES, st.floats(0, NOW))
def test_what_is_too_old_goes_and_nothing_else(found: list[CacheEntry], age: float) -> None:
    going = list(surplus(found, max_age=age, now=NOW))
    assert sorted(entry.used for entry in going) == sorted(
        entry.used for entry in found if NOW - entry.used > age
    )


def test_a_date_in_the_future_keeps_nothing_for_ever() -> None:
    entry = CacheEntry(path=Path("x"), size=2, used=NOW + 1e6)
    assert list(surplus([entry], max_size=1, now=NOW)) == [entry]


def test_files_and_folders_are_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_bytes(b"x" * 10)
    cache = tmp_path / "cache"
    (cache / "folder/below").mkdir(parents=True)
    (cache / "folder/below/file").write_bytes(b"x" * 10)
    (cache / "file").write_bytes(b"x" * 5)
    (cache / "link").symlink_to(tmp_path / "outside")
    os.utime(cache / "file", (5, 5))
    os.utime(cache / "folder", (6, 6))
    sizes = {entry.path.name: entry.size for entry in entries(cache.iterdir())}
    assert (sizes["folder"], sizes["file"]) == (10, 5)
    remove_surplus(entries(cache.iterdir()), max_age=100)
    assert [path.name for path in cache.iterdir()] == ["link"]
    remove_surplus(entries(cache.iterdir()), max_count=0)
    assert list(cache.iterdir()) == []
    assert (tmp_path / "outside/kept").exists()
