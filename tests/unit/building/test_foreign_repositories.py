"""A folder with a repository that somebody else made: nothing in it is run, nothing else is packed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.building.project import read_project
from pytest_manylinux.building.source import Snapshot, commit_of, listed_files, snapshot

pytestmark = pytest.mark.attack("escape")
OUTSIDE = "nobody-else-may-read-this"


def git(folder: Path, *arguments: str, words: str = "") -> str:
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, input=words)
    return done.stdout.strip()


def commit(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "setup.py").write_text("from setuptools import setup\nsetup()\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")


@pytest.fixture(autouse=True)
def _somebody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.org")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    commit(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A program that leaves a mark when it is run."""
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/mark\ncat\n")
    path.chmod(0o755)
    return str(path)


def look(folder: Path, tmp_path: Path) -> Snapshot:
    """All that is asked of git for a build; a mark would be left by any program that ran."""
    (folder / "setup.py").write_text("from setuptools import setup\nsetup() \n")
    os.utime(folder / "setup.py", (1, 1))
    commit_of(folder)
    listed_files(folder)
    found = snapshot(
        read_project(folder), tmp_path / "source.tar", below="source", leave_out=(), say=print
    )
    assert not (tmp_path / "mark").exists()
    return found


def monitor(folder: Path, program: str) -> None:
    git(folder, "config", "core.fsmonitor", program)


def hooks(folder: Path, program: str) -> None:
    git(folder, "config", "core.hooksPath", str(Path(program).parent / "hooks"))
    (Path(program).parent / "hooks").mkdir()
    for name in ("post-index-change", "pre-commit", "fsmonitor-watchman", "query-watchman"):
        (Path(program).parent / "hooks" / name).symlink_to(program)


def clean(folder: Path, program: str) -> None:
    (folder / ".git/info/attributes").write_text("* filter=own\n")
    git(folder, "config", "filter.own.clean", program)
    git(folder, "config", "filter.own.required", "true")


def odd_filter(folder: Path, program: str) -> None:
    (folder / ".gitattributes").write_text("* filter=a=b\n")
    git(folder, "config", "filter.a=b.clean", program)


def process(folder: Path, program: str) -> None:
    (folder / ".gitattributes").write_text("* filter=own.two diff=own\n")
    git(folder, "config", "filter.own.two.process", program)
    git(folder, "config", "diff.own.textconv", program)
    git(folder, "config", "diff.external", program)


def included(folder: Path, program: str) -> None:
    (folder / "more").write_text(
        f'[filter "own"]\n\tclean = {program}\n[core]\n\tfsmonitor = {program}\n'
    )
    (folder / ".gitattributes").write_text("* filter=own\n")
    git(folder, "config", "include.path", "../more")


def signature(folder: Path, program: str) -> None:
    text = git(folder, "cat-file", "commit", "HEAD")
    head, _, message = text.partition("\n\n")
    lines = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    signed = git(
        folder, "hash-object", "-t", "commit", "-w", "--stdin", words=f"{head}\n{lines}\n\n{message}\n"
    )
    git(folder, "update-ref", "HEAD", signed)
    git(folder, "config", "log.showSignature", "true")
    git(folder, "config", "gpg.program", program)


def transport(folder: Path, program: str) -> None:
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{program}",
        "protocol.ext.allow": "always",
        "core.sshCommand": program,
    }.items():
        git(folder, "config", key, value)
    tree = git(folder, "rev-parse", "HEAD^{tree}")
    (folder / ".git/objects" / tree[:2] / tree[2:]).unlink()


def submodule(folder: Path, program: str) -> None:
    commit(folder.parent / "other")
    git(folder, "submodule", "--quiet", "add", str(folder.parent / "other"), "inner")
    git(folder, "commit", "-q", "-m", "two")
    git(folder / "inner", "config", "core.fsmonitor", program)
    (folder / "inner/.gitattributes").write_text("* filter=own\n")
    git(folder / "inner", "config", "filter.own.clean", program)
    (folder / "inner/setup.py").write_text("from setuptools import setup\nsetup()\t\n")


WAYS = [monitor, hooks, clean, odd_filter, process, included, signature, transport, submodule]


@pytest.mark.parametrize("way", WAYS)
def test_no_program_that_a_repository_names_is_run(
    project: Path, tmp_path: Path, program: str, way: Callable[[Path, str], None]
) -> None:
    way(project, program)
    (tmp_path / "mark").unlink(missing_ok=True)
    look(project, tmp_path)
    assert not (tmp_path / "mark").exists()


def test_a_changed_submodule_makes_a_tree_dirty(project: Path, tmp_path: Path, program: str) -> None:
    submodule(project, program)
    found = commit_of(project)
    assert found is not None
    assert found.dirty
    assert not (tmp_path / "mark").exists()


def packed(tmp_path: Path) -> str:
    with tarfile.open(tmp_path / "source.tar") as archive:
        files = [archive.extractfile(member) for member in archive if member.isreg()]
        return "".join(file.read().decode("utf-8", "replace") for file in files if file is not None)


def index_above(folder: Path) -> None:
    (folder / "aa").mkdir()
    (folder / "aa/secret").write_text("")
    git(folder, "add", "aa/secret")
    path = folder / ".git/index"
    body = path.read_bytes()[:-20].replace(b"aa/secret", b"../secret")
    path.write_bytes(body + hashlib.sha1(body).digest())  # noqa: S324 - the format's own checksum


def index_behind_a_link(folder: Path) -> None:
    (folder / "aa").mkdir()
    (folder / "aa/secret").write_text("")
    git(folder, "add", "aa/secret")
    (folder / "aa/secret").unlink()
    (folder / "aa").rmdir()
    (folder / "aa").symlink_to("..")


def references_elsewhere(folder: Path) -> None:
    head = git(folder, "rev-parse", "HEAD")
    (folder / ".git/HEAD").write_text(f"{head}\n")
    (folder / ".git/refs").rename(folder / ".git/old")
    (folder / ".git/refs").symlink_to("../..")


@pytest.mark.parametrize("way", [index_above, index_behind_a_link, references_elsewhere])
def test_nothing_from_outside_the_folder_is_packed(
    project: Path, tmp_path: Path, way: Callable[[Path], None]
) -> None:
    (tmp_path / "secret").write_text(OUTSIDE)
    way(project)
    look(project, tmp_path)
    assert OUTSIDE not in packed(tmp_path)


def test_a_repository_of_somebody_else_is_not_shown_to_a_build(project: Path, tmp_path: Path) -> None:
    commit(tmp_path / "private")
    (project / ".git").rename(tmp_path / "old")
    (project / ".git").write_text(f"gitdir: {tmp_path}/private/.git\n")
    assert look(project, tmp_path).objects is None


def test_nor_are_objects_behind_a_link(project: Path, tmp_path: Path) -> None:
    (project / ".git/objects").rename(tmp_path / "objects")
    (project / ".git/objects").symlink_to(tmp_path / "objects")
    assert look(project, tmp_path).objects is None


def test_work_trees_and_submodules_keep_their_history(project: Path, tmp_path: Path) -> None:
    git(project, "worktree", "add", "-q", str(tmp_path / "linked"))
    assert look(tmp_path / "linked", tmp_path).objects == project / ".git/objects"
    submodule(project, "true")
    git(project / "inner", "config", "--unset", "core.fsmonitor")
    found = look(project / "inner", tmp_path).objects
    assert found is not None
    assert found.resolve() == project / ".git/modules/inner/objects"
