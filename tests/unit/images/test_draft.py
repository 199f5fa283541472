from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from pytest_manylinux.building.wheelhouse import put
from pytest_manylinux.cache.atomic import AtomicFile, draft, write_atomically
from pytest_manylinux.cache.paths import full, room_errors
from pytest_manylinux.errors import ReportError, StoreError


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no files without names."""
    real = os.open

    def refusing(path: str, flags: int, mode: int = 0o777, **words: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return real(path, flags, mode, **words)

    monkeypatch.setattr("pytest_manylinux.cache.atomic.os.open", refusing)


@pytest.fixture(params=["without names", "with names only"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "with names only":
        refuse(monkeypatch)
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_a_draft_becomes_a_file_and_never_replaces_one(folder: Path) -> None:
    umask = os.umask(0o027)
    try:
        with draft(folder) as fresh:
            fresh.stream.write(b"whole")
            fresh.become(folder / "file")
            with pytest.raises(FileExistsError):
                fresh.become(folder / "file")
    finally:
        os.umask(umask)
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").read_bytes() == b"whole"
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o640


def test_what_became_nothing_is_gone(folder: Path) -> None:
    with draft(folder) as fresh:
        fresh.stream.write(b"half")
    assert list(folder.iterdir()) == []


def test_a_draft_is_nowhere_to_be_found_so_that_a_kill_leaves_nothing(tmp_path: Path) -> None:
    with draft(tmp_path) as fresh:
        fresh.stream.write(b"half")
        fresh.stream.flush()
        assert list(tmp_path.iterdir()) == []


def test_wheels_and_reports_are_drafts_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they cannot become anything, nothing is left and an older report stays."""
    (folder / "report").write_bytes(b"older")
    wheel = folder.parent / "x-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")

    def refusing(_: AtomicFile, target: Path) -> None:
        raise OSError(errno.ENOSPC, f"no room for {target.name}")

    monkeypatch.setattr(AtomicFile, "become", refusing)
    with pytest.raises(StoreError, match="no room"):
        put(wheel, folder)
    with pytest.raises(ReportError, match="no room"):
        write_atomically(folder / "report", b"newer")
    assert [path.name for path in folder.iterdir()] == ["report"]
    assert (folder / "report").read_bytes() == b"older"


def test_the_disk_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = {str(tmp_path): 10, "/dev/shm": 5}  # noqa: S108 - any other folder
    monkeypatch.setattr("pytest_manylinux.cache.paths._room", lambda folder: room[str(folder)])
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/dev/shm")  # noqa: S108
    assert "TMPDIR" in full(tmp_path, "no space").remedy
    room["/dev/shm"] = 50  # noqa: S108
    assert "PYTEST_MANYLINUX_CACHE" in full(tmp_path, "no space").remedy


def test_only_a_lack_of_room_is_taken_for_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no room left"), room_errors(tmp_path):
        raise OSError(errno.EDQUOT, "quota")
    with pytest.raises(PermissionError), room_errors(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for path, content in ((pipe, b"whole"), (link, [b"in ", b"parts"])):
            write_atomically(path, content)
            assert os.read(reader, 100) == b"".join(content if isinstance(content, list) else [content])
            assert stat.S_ISFIFO(pipe.stat().st_mode)
    finally:
        os.close(reader)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


def test_a_terminal_is_written_to() -> None:
    ours, terminal = os.openpty()
    try:
        write_atomically(Path(os.ttyname(terminal)), b"seen")
        assert os.read(ours, 100) == b"seen"
    finally:
        os.close(ours)
        os.close(terminal)


def test_a_pipe_without_a_reader_and_a_socket_are_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(ReportError, match="could not be written"):
                write_atomically(tmp_path / name, b"content")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISSOCK((tmp_path / "socket").stat().st_mode)
