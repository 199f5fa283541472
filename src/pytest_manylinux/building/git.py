"""What git knows of a project folder, asked without changing a byte of it and without its programs.

A repository's own configuration and attributes name programs: hooks, monitors, filters, signature
checks, transports. It may come with a stranger's tree, so none of them is run
(docs/explanation/security.md).
git may be missing, or the folder may be no repository: then everything here says None.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT = 120.0
# A repository's own configuration can name programs to run; none of them is wanted for looking.
_CAREFUL = (
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"),
    *("-c", "log.showSignature=false", "-c", "core.pager=cat"),
)
# Nothing is fetched: what a partial clone lacks would come by a transport that the repository names.
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_FILTER = re.compile(rb"filter\.(?P<name>.+)\.(clean|smudge|process|required)", re.DOTALL)


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
    dirty = _is_dirty(folder)
    if not head or changed is None or dirty is None:
        return None
    return Commit(id=head.decode().strip(), time=int(changed or 0), dirty=dirty)


def _is_dirty(folder: Path) -> bool | None:
    """Whether anything was changed since the commit, in submodules too; None outside of git.

    Each submodule is asked by itself: git would look into it by its own configuration alone.
    """
    filters = _filters(folder)
    if any("=" in name for name in filters):
        return True  # no option can name it
    quietly = ("--porcelain", "--ignore-submodules=dirty")
    changes = _git(folder, "status", *quietly, "--", ".", options=_without(filters))
    if changes is None:
        return None
    return bool(changes) or any(_is_dirty(path) for path in _submodules(folder))


def _submodules(folder: Path) -> list[Path]:
    """Those that are checked out directly in a repository, by their mode in the index."""
    listed = _names(_git(folder, "ls-files", "--stage", "-z") or b"")
    links = [line.partition("\t")[2] for line in listed if line.startswith("160000 ")]
    return [folder / name for name in links if (folder / name / ".git").exists()]


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
    repository = Repository(own=own, shared=folder / shared)
    return repository if _belongs(repository, folder) else None


def _belongs(repository: Repository, folder: Path) -> bool:
    """Whether a repository is the folder's own, and made of real folders.

    A `.git` file or a link can point at any folder of this machine, which would go into the sandbox.
    A linked work tree and a submodule are pointed at from there in turn (gitrepository-layout(5)).
    """
    own, shared = repository.own.resolve(), repository.shared.resolve()
    parts = [repository.shared / name for name in ("objects", "refs")]
    if any(part.is_symlink() for part in parts):
        return False
    if own == folder.resolve() / ".git" and not (folder / ".git").is_symlink():
        return own == shared
    if own.parent.parent == shared and own.parent.name == "worktrees":
        return _points_at(own / "gitdir", folder / ".git")
    worktree = _git(folder, "config", "--local", "--get", "core.worktree")
    return worktree is not None and own == shared and _is(own / os.fsdecode(worktree).strip(), folder)


def _points_at(file: Path, target: Path) -> bool:
    try:
        return _is(file.parent / file.read_text("utf-8").strip(), target)
    except (OSError, UnicodeDecodeError):
        return False


def _is(path: Path, target: Path) -> bool:
    return path.resolve() == target.resolve()


def _filters(folder: Path) -> list[str]:
    """The names of all filters that any configuration has programs for."""
    keys = _git(folder, "config", "--list", "--name-only", "-z") or b""
    found = {match["name"] for key in keys.split(b"\0") if (match := _FILTER.fullmatch(key))}
    return sorted(os.fsdecode(name) for name in found)


def _without(filters: Sequence[str]) -> list[str]:
    """Options that leave each filter without its programs."""
    settings = ("clean=", "smudge=", "process=", "required=false")
    return [word for name in filters for one in settings for word in ("-c", f"filter.{name}.{one}")]


def _names(output: bytes) -> list[str]:
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def _git(folder: Path, *arguments: str, options: Sequence[str] = ()) -> bytes | None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command: Sequence[str] = ("git", *_CAREFUL, *options, "-C", os.fspath(folder), *arguments)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
            stdin=subprocess.DEVNULL,
            env=environment | _ENVIRONMENT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
