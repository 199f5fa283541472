from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.errors import UsageError
from pytest_manylinux.images.lock_file import Lock, LockedImage, read_lock, write_lock

LOCK = Lock(
    catalogue="sha256:c",
    distros={"debian-12": LockedImage(image="debian:12-slim", digest="sha256:a")},
    builders={"manylinux1-x86_64": LockedImage(image="m", digest="sha256:b")},
)


def test_a_lock_survives_being_written(tmp_path: Path) -> None:
    write_lock(tmp_path / "lock.json", LOCK)
    assert read_lock(tmp_path / "lock.json") == LOCK
    assert LOCK.pins == {"debian-12": "sha256:a"}


def test_writing_it_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    write_lock(tmp_path / "one", LOCK)
    write_lock(tmp_path / "two", LOCK)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_no_file_is_no_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "none") is None


@pytest.mark.parametrize("text", ["", "[]", '{"distros": {}}', '{"catalogue": "x", "version": 9}'])
def test_a_file_that_is_no_lock_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.json").write_text(text)
    with pytest.raises(UsageError, match="catalogue pin"):
        read_lock(tmp_path / "lock.json")
