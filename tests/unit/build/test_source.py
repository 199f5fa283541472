from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from pytest_manylinux.build import git
from pytest_manylinux.build.project import read_project
from pytest_manylinux.build.source import OBJECTS, Snapshot, pack

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
    assert git.commit_of(repository) is None
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
