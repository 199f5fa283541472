from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_manylinux.cluster.executor import WorkerFiles
from pytest_manylinux.cluster.protocol import Part
from pytest_manylinux.errors import ClusterError, StoreError


class Sender:
    """Sends what it has, and counts."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {hashlib.sha256(content).hexdigest(): content for content in contents}
        self.count = 0

    def __call__(self, digest: str) -> Iterator[bytes]:
        self.count += 1
        content = self.contents[digest]
        yield content[:3]
        yield content[3:]

    def part(self, content: bytes, name: str = "demo-1.0-py3-none-any.whl") -> Part:
        return Part(filename=name, sha256=hashlib.sha256(content).hexdigest())


def test_a_file_comes_once(tmp_path: Path) -> None:
    sender = Sender(b"content")
    part = sender.part(b"content")
    for shelf in (WorkerFiles(tmp_path), WorkerFiles(tmp_path)):
        for _ in range(2):
            assert shelf.wheel(part, sender).read_bytes() == b"content"
    assert sender.count == 1


def test_a_damaged_file_comes_again(tmp_path: Path) -> None:
    sender = Sender(b"content")
    part = sender.part(b"content")
    WorkerFiles(tmp_path).wheel(part, sender).write_bytes(b"c0ntent")
    assert WorkerFiles(tmp_path).wheel(part, sender).read_bytes() == b"content"
    assert sender.count == 2


def test_other_bytes_than_asked_for_are_not_kept(tmp_path: Path) -> None:
    sender = Sender()
    part = sender.part(b"content")
    sender.contents[part.sha256] = b"something else"
    with pytest.raises(StoreError, match="other bytes"):
        WorkerFiles(tmp_path).wheel(part, sender)
    assert list(tmp_path.glob("wheels/*")) == []


def test_what_breaks_off_is_not_kept(tmp_path: Path) -> None:
    def breaks_off(_: str) -> Iterator[bytes]:
        yield b"con"
        raise ClusterError("gone")

    part = Sender(b"content").part(b"content")
    with pytest.raises(ClusterError):
        WorkerFiles(tmp_path).wheel(part, breaks_off)
    assert list(tmp_path.glob("wheels/*")) == []
    assert list(tmp_path.glob("aside/*")) == []


def test_a_folder_has_exactly_what_was_asked_for(tmp_path: Path) -> None:
    sender = Sender(b"one", b"two")
    parts = (
        sender.part(b"one", "one-1-py3-none-any.whl"),
        sender.part(b"two", "two-2-py3-none-any.whl"),
    )
    shelf = WorkerFiles(tmp_path)
    folder = shelf.folder(parts, sender)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "one-1-py3-none-any.whl": b"one",
        "two-2-py3-none-any.whl": b"two",
    }
    assert shelf.folder(parts, sender) == folder
    assert [path.name for path in shelf.folder(parts[:1], sender).iterdir()] == [parts[0].filename]
    assert sender.count == 2


def test_what_was_used_the_longest_ago_goes_first(tmp_path: Path) -> None:
    contents = (b"old" * 100, b"new" * 100)
    sender = Sender(*contents)
    shelf = WorkerFiles(tmp_path, limit=400)
    old, new = (shelf.wheel(sender.part(content), sender) for content in contents)
    os.utime(old, (1, 1))
    shelf.prune()
    assert not old.exists()
    assert new.exists()
