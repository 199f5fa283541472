"""Tar streams as a hostile sandbox would send them."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.engines.transfer import check_inside, pack, unpack
from pytest_manylinux.errors import SandboxError, StoreError

pytestmark = pytest.mark.attack("archive")


def archive(*members: tuple[str, bytes, str | bytes]) -> io.BytesIO:
    """A tar stream of (name, type, content or link name)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if isinstance(content, str):
                member.linkname = content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


def files_below(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    "members",
    [
        [("/etc/x", REG, b"evil")],
        [("../x", REG, b"evil")],
        [("x/../../evil", REG, b"evil")],
        [("other", REG, b"evil")],
        [("x", SYM, "/etc/passwd")],
        [("x", DIR, b""), ("x/link", SYM, "../.."), ("x/link/evil", REG, b"evil")],
        [("x", LNK, "/etc/passwd")],
        [("x", DIR, b""), ("x/hard", LNK, "../outside")],
        [("x", DIR, b""), ("x/hard", LNK, "x/never")],
        [("x", tarfile.FIFOTYPE, b"")],
        [("x", tarfile.CHRTYPE, b"")],
        [("x", tarfile.BLKTYPE, b"")],
        [("x", DIR, b""), ("x", REG, b"evil")],
    ],
)
def test_refused_and_nothing_written_outside(
    tmp_path: Path, members: list[tuple[str, bytes, str | bytes]]
) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    with pytest.raises(SandboxError):
        unpack(archive(*members), "x", tmp_path / "in/out", bound=1000)
    assert files_below(tmp_path) == {"outside": b"precious"}


def test_a_name_sent_twice(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="exists"):
        unpack(archive(("x", REG, b"one"), ("x", REG, b"two")), "x", tmp_path / "x", bound=1000)
    assert (tmp_path / "x").read_bytes() == b"one"


@pytest.mark.parametrize("cut", [0, 100, 511, 513, 700])
def test_a_stream_that_is_cut_short(tmp_path: Path, cut: int) -> None:
    whole = archive(("x", REG, b"y" * 400)).getvalue()
    with pytest.raises(SandboxError):
        unpack(io.BytesIO(whole[:cut]), "x", tmp_path / "x", bound=1000)


def test_what_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(SandboxError):
        unpack(io.BytesIO(b"hello" * 1000), "x", tmp_path / "x", bound=10_000)


def test_the_bound_counts_all_members_and_second_names(tmp_path: Path) -> None:
    stream = archive(
        ("x", DIR, b""), ("x/a", REG, b"1" * 400), ("x/b", LNK, "x/a"), ("x/c", LNK, "x/b")
    )
    with pytest.raises(SandboxError, match="too big"):
        unpack(stream, "x", tmp_path / "x", bound=1000)


names = st.lists(
    st.text("ab.é ", min_size=1, max_size=4).filter(lambda name: name not in {".", ".."}),
    min_size=1,
    max_size=3,
).map("/".join)


@given(st.dictionaries(names, st.binary(max_size=50), min_size=1, max_size=6))
def test_what_is_packed_comes_out_the_same(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, bytes]
) -> None:
    place = tmp_path_factory.mktemp("tree")
    for name, content in tree.items():
        path = place / "source" / name
        if path.is_dir() or any(parent.is_file() for parent in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    stream = io.BytesIO()
    pack(place / "source", PurePosixPath("/scratch"), stream)
    stream.seek(0)
    unpack(stream, "scratch", place / "out", bound=10_000)
    assert files_below(place / "out") == files_below(place / "source")


@pytest.mark.parametrize("target", ["/scratch/x", "/tmp/x", "/scratch/deep/er"])  # noqa: S108
def test_places_to_copy_to(target: str) -> None:
    check_inside(PurePosixPath(target))


@pytest.mark.parametrize("target", ["/scratch", "/etc/x", "x", "/scratch/../x", "/scratchy/x", "/"])
def test_no_places_to_copy_to(target: str) -> None:
    with pytest.raises(SandboxError):
        check_inside(PurePosixPath(target))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_of_ours_is_not_the_sandboxs_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pytest_manylinux.engines.transfer._extract", full)
    with pytest.raises(StoreError, match="no room left in") as caught:
        unpack(archive(("x", REG, b"one")), "x", tmp_path / "x", bound=1000)
    assert os.strerror(number) in caught.value.why
    assert "make room" in caught.value.remedy
