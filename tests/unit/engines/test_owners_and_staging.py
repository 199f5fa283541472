from __future__ import annotations

import io
import os
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest

from pytest_manylinux.engines.container.leftovers import LABEL, owner_is_gone, owner_labels
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.host.tempdirs import Staging


def test_we_are_not_gone() -> None:
    assert not owner_is_gone(owner_labels("x"))


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({"started": "1"}, True),
        ({"pid": "4194305"}, True),
        ({"boot": "another"}, True),
        ({"host": "another", "boot": "another"}, False),
        ({"pid": "no number"}, False),
    ],
)
def test_owners(changed: dict[str, str], gone: bool) -> None:  # noqa: FBT001
    labels = {**owner_labels("x"), **{f"{LABEL}.{name}": value for name, value in changed.items()}}
    assert owner_is_gone(labels) is gone


def test_labels_that_are_not_ours() -> None:
    assert not owner_is_gone({})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_all_may_read_is_not_copied(place: Path) -> None:
    source = place / "source"
    source.mkdir()
    (source / "a").write_text("x")
    for path, mode in ((source, 0o755), (source / "a", 0o644)):
        path.chmod(mode)
    staging = Staging()
    assert staging.readable(source) == source
    staging.close()


def test_what_others_may_not_read_is_copied_for_them(place: Path) -> None:
    source = place / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep/program").write_text("x")
    (source / "deep/program").chmod(0o700)
    (source / "link").symlink_to("deep")
    (source / "deep").chmod(0o700)
    staging = Staging()
    copy = staging.readable(source)
    assert copy != source
    assert stat.S_IMODE((copy / "deep/program").stat().st_mode) & 0o005 == 0o005
    assert stat.S_IMODE((copy / "deep").stat().st_mode) & 0o005 == 0o005
    assert (copy / "link").readlink() == Path("deep")
    assert stat.S_IMODE((source / "deep/program").stat().st_mode) == 0o700
    staging.close()
    assert not staging.folder.exists()


def test_folders_of_the_dead_are_removed(place: Path) -> None:
    dead = place / "pytest-manylinux-staged-4194305-1-abc"
    other = place / "pytest-manylinux-staged-else"
    for folder in (dead, other):
        folder.mkdir()
    living = Staging()
    Staging().close()
    assert not dead.exists()
    assert other.exists()
    assert living.folder.exists()
    living.close()


def test_a_root_is_packed_with_owners_counted_from_its_own(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hosts").write_text("x")
    (root / "bin").symlink_to("usr/bin")
    (root / "proc").mkdir()
    (root / "proc/leftover").touch()
    os.mkfifo(root / "etc/pipe")
    stream = io.BytesIO()
    pack_root(root, stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        members = {member.name: member for member in archive}
    assert set(members) == {"bin", "etc", "etc/hosts", "proc"}
    assert {member.uid for member in members.values()} == {0}
    assert members["bin"].linkname == "usr/bin"
