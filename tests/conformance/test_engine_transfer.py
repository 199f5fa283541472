"""Files in and out; what comes out of a sandbox may be hostile."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from sandboxes import lines, sh

from pytest_manylinux.engines.api import MIB, Engine, Limits, Sandbox, SandboxSpec
from pytest_manylinux.errors import SandboxError

SCRATCH = PurePosixPath("/scratch")


def make_tree(folder: Path) -> Path:
    """A folder with what projects have: nesting, programs, links, odd names, an empty folder."""
    (folder / "deep/er").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "deep/er/ü \n'x").write_bytes(bytes(range(256)) * 1000)
    (folder / "program").write_text("#!/bin/sh\necho runs\n")
    (folder / "program").chmod(0o755)
    (folder / "data").write_text("data")
    (folder / "data").chmod(0o400)
    (folder / "second-name").hardlink_to(folder / "data")
    (folder / ("long-" + "x" * 200)).touch()
    return folder


def test_a_folder_there_and_back(sandbox: Sandbox, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    sandbox.copy_in(source, SCRATCH / "new/place")
    assert lines(sh(sandbox, "/scratch/new/place/program")) == ["runs"]
    sandbox.copy_out(SCRATCH / "new/place", tmp_path / "back/again")
    back = tmp_path / "back/again"
    names = {str(path.relative_to(source)) for path in source.rglob("*")}
    assert {str(path.relative_to(back)) for path in back.rglob("*")} == names
    for name in names:
        if (source / name).is_file():
            assert (back / name).read_bytes() == (source / name).read_bytes()
    assert os.access(back / "program", os.X_OK)
    assert not (back / "data").stat().st_mode & 0o111


def test_a_file_there_and_back(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    sandbox.copy_in(tmp_path / "file", PurePosixPath("/tmp/other-name"))  # noqa: S108
    sandbox.copy_out(PurePosixPath("/tmp/other-name"), tmp_path / "back")  # noqa: S108
    assert (tmp_path / "back").read_text() == "one"


def test_what_was_copied_in_belongs_to_the_user_inside(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.copy_in(make_tree(tmp_path / "source"), SCRATCH / "place")
    assert sh(sandbox, "cd place && echo x >> data && rm -r deep && mkdir deep && rm data").ok


def test_a_second_copy_merges_and_replaces(sandbox: Sandbox, tmp_path: Path) -> None:
    for name, content in (("a", "1"), ("b", "2"), ("a", "3")):
        folder = tmp_path / f"{name}{content}"
        folder.mkdir()
        (folder / name).write_text(content)
        sandbox.copy_in(folder, SCRATCH / "place")
    assert lines(sh(sandbox, "cat place/a place/b")) == ["32"]


def test_links_go_in_as_links(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/link").symlink_to("/etc/hostname-of-nobody")
    sandbox.copy_in(tmp_path / "source", SCRATCH / "place")
    assert lines(sh(sandbox, "readlink place/link")) == ["/etc/hostname-of-nobody"]


def test_special_files_do_not_go_in(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    os.mkfifo(tmp_path / "source/pipe")
    with pytest.raises(SandboxError, match="special file"):
        sandbox.copy_in(tmp_path / "source", SCRATCH / "place")


def test_a_source_that_is_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="none"):
        sandbox.copy_in(tmp_path / "none", SCRATCH / "x")
    with pytest.raises(SandboxError, match="none"):
        sandbox.copy_out(SCRATCH / "none", tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("target", ["/etc/x", "/scratch", "/scratch/../etc/x", "relative"])
def test_targets_outside_the_writable_folders(sandbox: Sandbox, tmp_path: Path, target: str) -> None:
    with pytest.raises(SandboxError, match="no place to copy to"):
        sandbox.copy_in(tmp_path, PurePosixPath(target))


def test_a_link_planted_at_the_target_leads_nowhere_on_the_host(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (tmp_path / "file").write_text("x")
    assert sh(sandbox, f"ln -s {victim} /scratch/trap; ln -s /etc /scratch/etc").ok
    for trap in ("trap", "etc"):
        with pytest.raises(SandboxError):
            sandbox.copy_in(tmp_path / "file", SCRATCH / trap / "file")
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize(
    "plant",
    ["ln -s /etc/passwd x", "mkdir x; ln -s / x/y", "mkfifo x", "mkdir x; mkfifo x/y", "ln -s ../.. x"],
)
def test_hostile_sources_are_refused(sandbox: Sandbox, tmp_path: Path, plant: str) -> None:
    assert sh(sandbox, plant).ok
    with pytest.raises(SandboxError):
        sandbox.copy_out(SCRATCH / "x", tmp_path / "out")
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_second_names_of_a_file_do_not_come_out_as_links(sandbox: Sandbox, tmp_path: Path) -> None:
    assert sh(sandbox, "mkdir x; echo one > x/a; ln x/a x/b").ok
    sandbox.copy_out(SCRATCH / "x", tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        "a": "one\n",
        "b": "one\n",
    }


def test_a_link_at_the_hosts_target_is_not_followed(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "out").symlink_to(tmp_path / "victim")
    assert sh(sandbox, "echo evil > x").ok
    with pytest.raises(SandboxError):
        sandbox.copy_out(SCRATCH / "x", tmp_path / "out")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_file_of_the_host_is_not_overwritten(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    assert sh(sandbox, "echo other > x").ok
    with pytest.raises(SandboxError):
        sandbox.copy_out(SCRATCH / "x", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "precious"


def test_more_than_the_sandbox_may_hold_does_not_come_out(
    engine: Engine, spec: SandboxSpec, tmp_path: Path
) -> None:
    limits = Limits(scratch=16 * MIB)
    with engine.open(replace(spec, limits=limits)) as sandbox:
        assert sh(
            sandbox, "truncate -s 1T sparse"
        ).ok  # takes no room inside, would take it all outside
        with pytest.raises(SandboxError, match="too big"):
            sandbox.copy_out(SCRATCH / "sparse", tmp_path / "out")
    assert not (tmp_path / "out").exists() or (tmp_path / "out").stat().st_size <= limits.scratch


def test_no_room_for_what_goes_in(engine: Engine, spec: SandboxSpec, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 16 * MIB)
    with engine.open(replace(spec, limits=Limits(scratch=8 * MIB))) as sandbox:
        with pytest.raises(SandboxError, match="/scratch/big"):
            sandbox.copy_in(tmp_path / "big", SCRATCH / "big")
        assert sh(sandbox, "rm -f big; true").ok
