"""Where groups may be made, on made-up machines: a folder of files stands for each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_manylinux.engines.api import MIB, Limits
from pytest_manylinux.engines.bubblewrap.cgroups import ControlGroups, find_control_groups
from pytest_manylinux.host.subprocesses import start_time

LIMITS = Limits(memory=100 * MIB, scratch=50 * MIB, processes=7)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path / "proc"


def write_v2(
    tmp_path: Path, proc: Path, path: str, handed_down: dict[str, str], root: str = "/"
) -> Path:
    """A version 2 tree with our group at `path`; what each group hands down."""
    top = tmp_path / "cgroup"
    ours = top / path.removeprefix(root).strip("/")
    ours.mkdir(parents=True)
    for folder in (ours, *ours.parents):
        if folder == tmp_path:
            break
        name = "/" + str(folder.relative_to(top)).strip(".")
        (folder / "cgroup.subtree_control").write_text(handed_down.get(name, ""))
        (folder / "cgroup.procs").touch()
        if name not in handed_down:
            (folder / "cgroup.subtree_control").unlink()  # stands for one that cannot be switched on
    mount = f"30 20 0:26 {root} {top} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    (proc / "self/mountinfo").write_text(f"20 1 8:1 / / rw - ext4 /dev/a rw\n{mount}")
    (proc / "self/cgroup").write_text(f"0::{path}\n")
    return top


def test_version_2_takes_the_nearest_parent_that_hands_controllers_down(
    tmp_path: Path, proc: Path
) -> None:
    tree = {"/": "cpu memory pids", "/user": "memory pids", "/user/session": ""}
    top = write_v2(tmp_path, proc, "/user/session", tree)
    (top / "user/session/cgroup.subtree_control").unlink()  # holds processes: cannot hand down
    found = find_control_groups(proc)
    assert found == ControlGroups(version=2, parents=(top / "user",))


def test_version_2_switches_controllers_on_where_it_may(tmp_path: Path, proc: Path) -> None:
    top = write_v2(tmp_path, proc, "/", {"/": "cpu"})
    assert find_control_groups(proc) == ControlGroups(version=2, parents=(top,))
    assert (top / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_version_2_inside_a_container(tmp_path: Path, proc: Path) -> None:
    top = write_v2(tmp_path, proc, "/docker/abc/job", {"/": "memory pids"}, root="/docker/abc")
    assert find_control_groups(proc) == ControlGroups(version=2, parents=(top,))


def test_version_2_that_hands_nothing_down(tmp_path: Path, proc: Path) -> None:
    write_v2(tmp_path, proc, "/user/session", {})
    assert find_control_groups(proc) is None


def test_version_1_needs_both_controllers(tmp_path: Path, proc: Path) -> None:
    for name in ("memory", "pids"):
        (tmp_path / name / "ours").mkdir(parents=True)
    mounts = {
        name: f"3{index} 20 0:2{index} / {tmp_path / name} rw - cgroup cgroup rw,{name}\n"
        for index, name in enumerate(("memory", "pids"))
    }
    (proc / "self/cgroup").write_text("4:memory:/ours\n8:pids:/\n0::/\n")
    (proc / "self/mountinfo").write_text(mounts["memory"] + mounts["pids"])
    expected = ControlGroups(version=1, parents=(tmp_path / "memory/ours", tmp_path / "pids"))
    assert find_control_groups(proc) == expected
    (proc / "self/mountinfo").write_text(mounts["memory"])
    assert find_control_groups(proc) is None


def test_no_control_groups_at_all(proc: Path) -> None:
    assert find_control_groups(proc) is None
    (proc / "self/cgroup").write_text("")
    (proc / "self/mountinfo").write_text("20 1 8:1 / / rw - ext4 /dev/a rw\n")
    assert find_control_groups(proc) is None


def test_a_group_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    groups = ControlGroups(version=1, parents=(tmp_path, tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        groups.make(LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_sweeping_knows_the_dead_from_the_living(tmp_path: Path) -> None:
    pid, started = os.getpid(), start_time(os.getpid())
    keep = [f"pytest-manylinux-{pid}-{started}-0", "pytest-manylinux-else", "other-1-1-1"]
    dead = [f"pytest-manylinux-{pid}-{started + 1}-0", "pytest-manylinux-4194305-1-3"]
    for name in keep + dead:
        (tmp_path / name).mkdir()
    ControlGroups(version=2, parents=(tmp_path,)).sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(keep)


def test_start_time_of_nobody() -> None:
    assert start_time(4194305) == 0
    assert start_time(os.getpid()) > 0
