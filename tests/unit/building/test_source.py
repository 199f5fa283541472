from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import IO

import pytest

from pytest_manylinux.building import source
from pytest_manylinux.building.project import open_tree, read_project, walk
from pytest_manylinux.building.source import OBJECTS, Snapshot, pack
from pytest_manylinux.errors import ProjectError

COMMIT_TIME = 1_700_000_000


@pytest.fixture(autouse=True)
def _own_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Someone")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "someone@example.org")
        monkeypatch.setenv(f"GIT_{name}_DATE", f"{COMMIT_TIME} +0000")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def run_git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "setup.py").write_text("setup(name='demo')")
    (folder / "src/demo.c").write_text("int x;")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/setup.pyc").touch()
    (folder / "build").mkdir()
    (folder / "build/left.o").touch()
    return folder


@pytest.fixture
def repository(project: Path) -> Path:
    (project / ".gitignore").write_text("*.o\nsecret\n")
    (project / "secret").write_text("not for the sandbox")
    run_git(project, "init", "-q", "-b", "main")
    run_git(project, "add", "setup.py", "src", ".gitignore")
    run_git(project, "commit", "-q", "-m", "one")
    return project


def packed(folder: Path, *leave_out: Path) -> tuple[Snapshot, dict[str, tarfile.TarInfo]]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        snapshot = pack(read_project(folder), archive, below="source", leave_out=leave_out)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        return snapshot, {member.name: member for member in archive}


def plain(members: dict[str, tarfile.TarInfo]) -> list[str]:
    return sorted(name for name in members if "/.git/" not in name)


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def test_outside_of_git_everything_but_left_overs(project: Path) -> None:
    snapshot, members = packed(project)
    assert sorted(members) == ["source/setup.py", "source/src/demo.c"]
    assert snapshot.commit == ""
    assert snapshot.objects is None


def test_in_git_what_is_tracked_and_what_is_not_ignored(repository: Path) -> None:
    (repository / "new.c").touch()
    snapshot, members = packed(repository)
    assert plain(members) == [
        *("source/.gitignore", "source/new.c", "source/setup.py", "source/src/demo.c")
    ]
    assert snapshot.epoch == COMMIT_TIME
    assert len(snapshot.commit) == 40
    assert snapshot.dirty


def test_a_clean_tree_is_not_dirty(repository: Path) -> None:
    (repository / ".git/info/exclude").write_text("__pycache__\n")
    assert not packed(repository)[0].dirty


def test_a_deleted_file_is_left_out(repository: Path) -> None:
    (repository / "src/demo.c").unlink()
    assert "source/src/demo.c" not in packed(repository)[1]


def test_a_folder_below_the_top_takes_itself_only(repository: Path) -> None:
    below = repository / "python"
    below.mkdir()
    (below / "setup.py").write_text("setup()")
    snapshot, members = packed(below)
    assert sorted(members) == ["source/setup.py"]
    assert snapshot.objects is None


def test_commits_elsewhere_do_not_change_the_epoch(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = repository / "python"
    below.mkdir()
    (below / "setup.py").write_text("setup()")
    assert packed(below)[0].epoch == 315_619_200  # not committed: no time to take
    run_git(repository, "add", "python")
    run_git(repository, "commit", "-q", "-m", "two")
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"{COMMIT_TIME + 1000} +0000")
    run_git(repository, "commit", "-q", "-m", "three", "--allow-empty")
    assert packed(below)[0].epoch == COMMIT_TIME


def test_our_own_folders_are_left_out(repository: Path) -> None:
    (repository / "wheels").mkdir()
    (repository / "wheels/demo.whl").touch()
    assert "source/wheels/demo.whl" in packed(repository)[1]
    assert "source/wheels/demo.whl" not in packed(repository, repository / "wheels")[1]


def test_nothing_of_the_users_tree_changes(repository: Path) -> None:
    os.utime(repository / "setup.py", (1, 1))  # git would write its index to remember this
    before = tree(repository)
    packed(repository)
    assert tree(repository) == before


def test_git_sees_its_history_inside_but_not_its_configuration(
    repository: Path, tmp_path: Path
) -> None:
    run_git(repository, "tag", "v1.5")
    run_git(repository, "remote", "add", "origin", "https://user:password@example.org/x")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        snapshot = pack(read_project(repository), archive, below="source")
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        archive.extractall(tmp_path / "inside")  # noqa: S202 -- packed a line above
    assert snapshot.objects == repository / ".git/objects"
    inside = tmp_path / "inside/source"
    alternates = inside / ".git/objects/info/alternates"
    assert alternates.read_text() == f"{OBJECTS}\n"
    alternates.write_text(f"{snapshot.objects}\n")
    told = subprocess.run(
        ["git", "describe", "--tags"], cwd=inside, check=True, capture_output=True, text=True
    )
    assert told.stdout.strip() == "v1.5"
    assert "password" not in (inside / ".git/config").read_text()


def test_links_stay_links_and_modes_are_plain(project: Path) -> None:
    (project / "link").symlink_to("setup.py")
    (project / "configure").write_text("#!/bin/sh")
    (project / "configure").chmod(0o4700)
    members = packed(project)[1]
    assert members["source/link"].linkname == "setup.py"
    assert members["source/configure"].mode == 0o744
    assert {(member.uid, member.uname) for member in members.values()} == {(0, "")}


def test_a_repository_cannot_make_us_run_its_programs(repository: Path, tmp_path: Path) -> None:
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path / 'was-run'}\n")
    spy.chmod(0o755)
    run_git(repository, "config", "core.fsmonitor", str(spy))
    packed(repository)
    assert not (tmp_path / "was-run").exists()


def test_without_git_on_the_machine_left_overs_are_still_left_out(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert source.commit_of(repository) is None
    assert plain(packed(repository)[1]) == [
        *("source/.gitignore", "source/secret", "source/setup.py", "source/src/demo.c")
    ]


def test_an_sdist_without_its_top_folder(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, time in (("setup.py", 1_600_000_000), ("src/x.c", 1_500_000_000)):
            member = tarfile.TarInfo(f"demo-1.0/{name}")
            member.mtime, member.size, member.mode = time, 5, 0o6755
            archive.addfile(member, io.BytesIO(b"x = 1"))
        link = tarfile.TarInfo("demo-1.0/again.py")
        link.type, link.linkname = tarfile.LNKTYPE, "demo-1.0/setup.py"
        archive.addfile(link)
    snapshot, members = packed(path)
    assert snapshot.epoch == 1_600_000_000
    assert sorted(members) == ["source/again.py", "source/setup.py", "source/src/x.c"]
    assert members["source/again.py"].size == 5
    assert members["source/setup.py"].mode == 0o755


def test_the_users_own_epoch_wins(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert packed(repository)[0].epoch == 1234567890


def test_no_epoch_is_older_than_zip_archives_can_be(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert packed(repository)[0].epoch == 315_619_200


@pytest.mark.attack("stranger's tree")
def test_nothing_behind_a_link_is_copied(repository: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "demo.c").write_text("a secret")
    (repository / "away").symlink_to(outside)
    (repository / "src" / "demo.c").unlink()
    (repository / "src").rmdir()
    (repository / "src").symlink_to(outside)  # git has src/demo.c in its index
    _, members = packed(repository)
    assert members["source/src"].issym()
    assert members["source/away"].issym()
    assert not [name for name in members if name.startswith(("source/src/", "source/away/"))]


@pytest.mark.attack("stranger's tree")
@pytest.mark.parametrize("name", ["setup.py", "pyproject.toml"])
def test_no_description_behind_a_link_is_read(project: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "far").write_text("[build-system]\nrequires = []\n")
    (project / "setup.py").unlink()
    (project / name).symlink_to(tmp_path / "far")
    assert name not in open_tree(project).texts


@pytest.mark.attack("odd tree")
def test_names_that_are_not_utf_8_are_copied(project: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.c")
    (project / odd).write_text("int y;")
    assert f"source/{odd}" in packed(project)[1]


@pytest.mark.attack("odd tree")
def test_a_tree_that_is_too_deep_to_be_opened_is_one_short_line(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as here:
        here.chdir(project)
        for _ in range(30):
            Path("d" * 150).mkdir()
            os.chdir("d" * 150)
    with pytest.raises(ProjectError, match="cannot be read") as caught:
        list(walk(project))
    assert caught.value.why == "File name too long"
    assert len(caught.value.what) < 300


def test_special_files_are_left_out_by_name(project: Path) -> None:
    os.mkfifo(project / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fspath(project / "socket"))
        snapshot, members = packed(project)
    assert sorted(members) == ["source/setup.py", "source/src/demo.c"]
    assert [line.rpartition("/")[2] for line in snapshot.left_out] == [
        "pipe is a named pipe: not part of the copy",
        "socket is a socket: not part of the copy",
    ]


@pytest.mark.attack("odd tree")
def test_a_tree_that_is_too_big_names_the_file(project: Path) -> None:
    with (project / "hole").open("wb") as file:
        file.truncate(3 * 1024**3)
    with pytest.raises(ProjectError, match="too big") as caught:
        packed(project)
    assert "hole, which has 3072 MiB" in caught.value.why


@pytest.mark.attack("odd tree")
@pytest.mark.parametrize("change", ["grows", "shrinks", "is written over"])
def test_a_file_that_changes_while_it_is_copied(
    project: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    file = project / "src" / "demo.c"
    file.write_bytes(b"x" * 100_000)
    add = tarfile.TarFile.addfile

    def addfile(
        self: tarfile.TarFile, member: tarfile.TarInfo, content: IO[bytes] | None = None
    ) -> None:
        if member.name.endswith("demo.c"):
            if change == "shrinks":
                os.truncate(file, 10)
            else:
                file.write_bytes(b"y" * (200_000 if change == "grows" else 100_000))
                os.utime(file, ns=(1, 1))
        add(self, member, content)

    monkeypatch.setattr(tarfile.TarFile, "addfile", addfile)
    with pytest.raises(ProjectError, match=r"demo\.c changed while it was copied"):
        packed(project)


@pytest.mark.attack("odd tree")
def test_a_file_that_goes_away_counts_as_deleted(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = list(walk(project))
    monkeypatch.setattr("pytest_manylinux.building.source.walk", lambda _: listed)
    (project / "src" / "demo.c").unlink()
    assert sorted(packed(project)[1]) == ["source/setup.py"]


@pytest.mark.attack("odd tree")
def test_what_takes_a_file_s_place_is_not_followed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("a secret")
    file, opened = project / "src" / "demo.c", os.open

    def swapping(path: str | os.PathLike[str], flags: int, *rest: int, **more: int) -> int:
        if path == file and not file.is_symlink():
            file.unlink()
            file.symlink_to(tmp_path / "secret")
        return opened(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", swapping)
    with pytest.raises(ProjectError, match=r"demo\.c cannot be read"):
        packed(project)


@pytest.mark.attack("odd tree")
def test_what_may_not_be_read_is_one_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # root may read everything: the kernel's answer is put in its place
    scandir = os.scandir

    def forbidden(path: str | int) -> object:
        if str(path).endswith("src"):  # pytest takes the folder away by descriptors while this stands
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(ProjectError, match="src cannot be read") as caught:
        packed(project)
    assert caught.value.why == "Permission denied"
