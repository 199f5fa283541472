"""What git knows of a project folder, asked without changing a byte of it and without its hooks.

git may be missing, or the folder may be no repository: then everything here says None.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT = 120.0
# A repository's own configuration can name programs to run; none of them is wanted for looking.
_CAREFUL = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The commit that a folder stands at.

    `time` is when the last change within the folder was committed, in seconds since the epoch: other
    commits do not alter what is built from it. 0 if nothing of it is committed.
    """

    id: str
    time: int
    dirty: bool


def listed_files(folder: Path) -> tuple[list[str], list[str]] | None:
    """Tracked files (those of submodules too) and untracked ones that are not ignored.

    Names relative to the folder. None outside of git, and for a folder that git ignores as a whole.
    """
    tracked = _git(folder, "ls-files", "-z", "--cached", "--recurse-submodules")
    others = _git(folder, "ls-files", "-z", "--others", "--exclude-standard")
    if tracked is None or others is None or not (tracked or others):
        return None
    return _names(tracked), _names(others)


def commit_of(folder: Path) -> Commit | None:
    """The commit checked out; None outside of git and before the first commit."""
    head = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "log", "-1", "--format=%ct", "--", ".")
    changes = _git(folder, "status", "--porcelain", "--", ".")
    if not head or changed is None or changes is None:
        return None
    return Commit(id=head.decode().strip(), time=int(changed or 0), dirty=bool(changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where a work tree's repository lies: its `own` folder and the one `shared` by all work trees."""

    own: Path
    shared: Path


def repository_of(folder: Path) -> Repository | None:
    """The repository of a folder that is the top of a work tree; None for any other folder."""
    found = _git(folder, "rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    if found is None:
        return None
    top, own, shared = (Path(line) for line in os.fsdecode(found).splitlines())
    if top.resolve() != folder.resolve():
        return None
    return Repository(own=own, shared=folder / shared)


def _names(output: bytes) -> list[str]:
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def _git(folder: Path, *arguments: str) -> bytes | None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command: Sequence[str] = ("git", *_CAREFUL, "-C", os.fspath(folder), *arguments)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
            stdin=subprocess.DEVNULL,
            env=environment | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
