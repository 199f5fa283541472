"""Limits on memory and processes through the kernel's control groups, version 2 or 1.

A group is made beside or below our own, named after its owner (process id and start time), so that
what a killed run left behind is known at the next start. Rules: the kernel's cgroup-v1 and
cgroup-v2 documents; a version 2 group may hold processes or hand controllers down, not both, hence
the search among the parents.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_manylinux.engines.api import Limits
from pytest_manylinux.host.subprocesses import start_time

PREFIX = "pytest-manylinux-"
_NAME = re.compile(rf"{PREFIX}(?P<pid>\d+)-(?P<start>\d+)-\d+")
_CONTROLLERS = ("memory", "pids")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The folders of one sandbox: one (version 2) or one for each controller (version 1)."""

    folders: tuple[Path, ...]

    @property
    def doors(self) -> tuple[str, ...]:
        """The files that a process writes its id to, to be limited."""
        return tuple(str(folder / "cgroup.procs") for folder in self.folders)

    def remove(self, *, patience: float = 2.0) -> None:
        """Remove the folders once their last process has ended; wait for it up to `patience` s."""
        end = time.monotonic() + patience
        for folder in self.folders:
            while not _removed(folder) and time.monotonic() < end:
                time.sleep(0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroups:
    """Where this process may make groups. `parents` has one folder, or one for each controller."""

    version: int
    parents: tuple[Path, ...]

    def make(self, limits: Limits) -> Group:
        """Make a group with `limits`; raises OSError, with nothing left behind."""
        name = f"{PREFIX}{os.getpid()}-{start_time(os.getpid())}-{next(_serial)}"
        group = Group(folders=tuple(parent / name for parent in self.parents))
        try:
            for folder in group.folders:
                folder.mkdir()
                _limit(folder, limits)
        except OSError:
            group.remove(patience=0)
            raise
        return group

    def sweep(self) -> None:
        """Remove the groups whose owner is gone. One that still holds a process stays."""
        for parent in self.parents:
            for folder in parent.glob(f"{PREFIX}*"):
                match = _NAME.fullmatch(folder.name)
                if match and start_time(int(match["pid"])) != int(match["start"]):
                    _removed(folder)


_serial = itertools.count()


def find_control_groups(proc: Path = _PROC) -> ControlGroups | None:
    """Where we may make groups that limit memory and processes; None if nowhere."""
    try:
        mounts = tuple(_mounts((proc / "self/mountinfo").read_text()))
        ours = dict(_memberships((proc / "self/cgroup").read_text()))
    except OSError:
        return None
    return _version_1(mounts, ours) or _version_2(mounts, ours)


@dataclass(frozen=True, slots=True)
class _CgroupMount:
    kind: str
    root: PurePosixPath
    point: Path
    controllers: frozenset[str]

    def folder(self, path: str) -> Path | None:
        """The folder of the group `path`, if this mount shows it."""
        try:
            return self.point / PurePosixPath(path).relative_to(self.root)
        except ValueError:
            return None


def _mounts(text: str) -> Iterator[_CgroupMount]:
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            words = fields.split()
            names = frozenset(options.split(","))
            yield _CgroupMount(kind, PurePosixPath(words[3]), Path(words[4]), names)


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of controller and path; the version 2 hierarchy has the empty name."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _version_1(mounts: tuple[_CgroupMount, ...], ours: dict[str, str]) -> ControlGroups | None:
    parents = []
    for controller in _CONTROLLERS:
        mount = next((m for m in mounts if m.kind == "cgroup" and controller in m.controllers), None)
        folder = mount.folder(ours[controller]) if mount and controller in ours else None
        if folder is None or not os.access(folder, os.W_OK):
            return None
        parents.append(folder)
    return ControlGroups(version=1, parents=tuple(dict.fromkeys(parents)))


def _version_2(mounts: tuple[_CgroupMount, ...], ours: dict[str, str]) -> ControlGroups | None:
    mount = next((m for m in mounts if m.kind == "cgroup2"), None)
    folder = mount.folder(ours[""]) if mount and "" in ours else None
    if mount is None or folder is None:
        return None
    for parent in (folder, *folder.parents):
        if _hands_down(parent) and os.access(parent / "cgroup.procs", os.W_OK):
            return ControlGroups(version=2, parents=(parent,))
        if parent == mount.point:
            break
    return None


def _hands_down(parent: Path) -> bool:
    """Whether groups made in `parent` get our controllers, switching them on where that is allowed."""
    control = parent / "cgroup.subtree_control"
    with contextlib.suppress(OSError):
        if set(_CONTROLLERS) <= set(control.read_text().split()):
            return os.access(parent, os.W_OK)
        control.write_text(" ".join(f"+{name}" for name in _CONTROLLERS))
        return True
    return False


def _limit(folder: Path, limits: Limits) -> None:
    """Write the limits into those of the kernel's files that this folder has."""
    values = {
        "pids.max": limits.processes,
        "memory.max": limits.memory,
        "memory.swap.max": 0,
        "memory.oom.group": 0,
        "memory.limit_in_bytes": limits.memory,
        "memory.memsw.limit_in_bytes": limits.memory,
    }
    for name, value in values.items():
        if (folder / name).exists():
            (folder / name).write_text(str(value))


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
