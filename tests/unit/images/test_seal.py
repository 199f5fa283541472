"""Folders that caches keep: damage is seen, whatever the file system says, and nothing else is."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.cache import integrity
from pytest_manylinux.cache.integrity import EVERY, is_whole, seal_folder, sealed, unsealed

pytestmark = pytest.mark.attack("fault")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished folder, sealed aside and put in its place, as caches do it."""
    aside = tmp_path / "aside"
    (aside / "bin").mkdir(parents=True)
    (aside / "bin/tool").write_bytes(b"content")
    (aside / "bin/link").symlink_to("tool")
    (aside / "empty").mkdir()
    seal_folder(aside)
    return aside.rename(tmp_path / "kept")


def flip(path: Path) -> None:
    """A bit that a disk got wrong: the file's date is as it was."""
    status = path.stat()
    path.write_bytes(b"c0ntent")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda folder: flip(folder / "bin/tool"),
    "a cut file": lambda folder: (folder / "bin/tool").write_bytes(b"cont"),
    "a lost file": lambda folder: (folder / "bin/tool").unlink(),
    "another file": lambda folder: (folder / "bin/more").touch(),
    "another mode": lambda folder: (folder / "bin/tool").chmod(0o600),
    "another target": lambda folder: relink(folder / "bin/link"),
    "a lost folder": lambda folder: (folder / "empty").rmdir(),
    "no seal": lambda folder: (folder / integrity.NAME).unlink(),
    "half a seal": lambda folder: (folder / integrity.NAME).write_text('{"content": "'),
    "nothing": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_not_whole(folder: Path, damage: str) -> None:
    DAMAGE[damage](folder)
    assert not is_whole(folder)


def test_damage_that_the_file_system_does_not_tell_is_found_in_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "_look", lambda _: "always the same")
    seal_folder(folder)
    flip(folder / "bin/tool")
    later = time.time() + EVERY + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert not is_whole(folder)


@pytest.mark.parametrize("jump", [-10 * EVERY, 10 * EVERY])
def test_a_clock_that_jumps_only_has_it_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    now = time.time() + jump
    monkeypatch.setattr(time, "time", lambda: now)
    assert is_whole(folder)
    flip(folder / "bin/tool")
    monkeypatch.setattr(integrity, "_known", {})
    assert not is_whole(folder)


def test_what_was_only_touched_or_moved_is_whole(folder: Path, tmp_path: Path) -> None:
    os.utime(folder / "bin/tool", (1, 1))
    (folder / "used").touch()
    assert is_whole(folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, symlinks=True)
    assert is_whole(copy)


def test_a_folder_that_was_made_anew_is_looked_at_again(folder: Path) -> None:
    assert is_whole(folder)
    (folder / "bin/tool").write_bytes(b"anew")
    seal_folder(folder)
    flip(folder / "bin/tool")
    assert not is_whole(folder)


def test_small_files_belong_to_their_key() -> None:
    data = sealed("key", b"content")
    assert unsealed("key", data) == b"content"
    assert unsealed("other", data) is None
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        assert unsealed("key", bytes(damaged)) is None
    assert unsealed("key", b"") is None
