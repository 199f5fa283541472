"""A snapshot of a project as one tar stream for a sandbox: the user's tree is only read.

A folder in git: what git tracks and what is untracked but not ignored. A folder outside of git:
everything but the usual left-overs. An sdist: its members, checked, without the top folder.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_manylinux.build.git import commit_of, listed_files, repository_of
from pytest_manylinux.build.project import Project
from pytest_manylinux.build.tree import is_junk, reading_sdist, walk
from pytest_manylinux.errors import ProjectError

OBJECTS = PurePosixPath("/scratch/objects")
_EPOCH = 315_619_200
"""2 January 1980 UTC: the first whole day that a zip archive can hold in every time zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was packed. `epoch` (seconds) is the build's SOURCE_DATE_EPOCH (reproducible-builds.org).

    `objects` is git's object folder: to be seen in the sandbox at OBJECTS, so that tools which ask
    git for the version (setuptools-scm) get their answer. Nothing else of the repository goes in:
    its configuration and hooks are the user's own affair.
    """

    epoch: int
    commit: str = ""
    dirty: bool = False
    objects: Path | None = None


def snapshot(project: Project, target: Path, *, below: str, leave_out: Iterable[Path]) -> Snapshot:
    """Pack a project into the new tar file `target`; see `pack`."""
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        return pack(project, archive, below=below, leave_out=leave_out)


def pack(
    project: Project, archive: tarfile.TarFile, *, below: str, leave_out: Iterable[Path] = ()
) -> Snapshot:
    """Add the project's files to `archive` under the folder `below`.

    `leave_out` are files and folders of ours that may lie in the project (a wheelhouse). Raises
    ProjectError for a file that cannot be read, and for what `reading_sdist` refuses.
    """
    if project.is_sdist:
        return Snapshot(epoch=_epoch(_pack_sdist(project.path, archive, below)))
    folder = project.path.resolve()
    commit = commit_of(folder)
    ours = [path.resolve() for path in leave_out]
    for name in _names(folder):
        path = folder / name
        if _lies_within(folder, name) and not any(path.is_relative_to(other) for other in ours):
            _add(archive, path, f"{below}/{name}")
    if commit is None:
        return Snapshot(epoch=_epoch(None))
    objects = _pack_repository(folder, archive, f"{below}/.git")
    return Snapshot(epoch=_epoch(commit.time), commit=commit.id, dirty=commit.dirty, objects=objects)


def _epoch(time: int | None) -> int:
    """The user's own SOURCE_DATE_EPOCH if set, else the source's time, else a fixed one."""
    word = os.environ.get("SOURCE_DATE_EPOCH", "")
    return max(int(word) if word.isdecimal() else time or 0, _EPOCH)


def _names(folder: Path) -> Iterable[str]:
    listed = listed_files(folder)
    if listed is None:
        return walk(folder)
    tracked, others = listed
    return sorted({*tracked, *(name for name in others if not is_junk(name))})


def _lies_within(folder: Path, name: str) -> bool:
    """Whether a listed file is one of the folder's: no `..`, and no link on the way to it.

    git's index is a file of the project's, and may list anything.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        return False
    return not any((folder / parent).is_symlink() for parent in list(parts.parents)[:-1])


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file or link as it is; what git tracks but is not there (deleted) is left out."""
    try:
        if not path.is_symlink() and not path.is_file():
            return
        member = archive.gettarinfo(path, arcname=name)
        member.type = tarfile.SYMTYPE if path.is_symlink() else tarfile.REGTYPE
        if member.isreg():
            member.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(_plain(member), content)
        else:
            archive.addfile(_plain(member))
    except OSError as error:
        raise ProjectError(f"{path} cannot be read", why=str(error)) from error


def _pack_repository(folder: Path, archive: tarfile.TarFile, below: str) -> Path | None:
    """A repository without configuration, hooks and objects; the folder with its objects.

    Only where the folder is the top of its work tree: further up lies what is not the project's.
    """
    repository = repository_of(folder)
    if repository is None:
        return None
    for name in ("HEAD", "index"):
        _add(archive, repository.own / name, f"{below}/{name}")
    for name in ("packed-refs", "shallow", *_below(repository.shared, "refs")):
        _add(archive, repository.shared / name, f"{below}/{name}")
    _add_text(archive, f"{below}/config", "[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
    _add_text(archive, f"{below}/objects/info/alternates", f"{OBJECTS}\n")
    return repository.shared / "objects"


def _below(folder: Path, name: str) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted((folder / name).rglob("*"))]


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text)
    archive.addfile(_plain(member), io.BytesIO(text.encode()))


def _pack_sdist(path: Path, archive: tarfile.TarFile, below: str) -> int:
    """The time of the newest member."""
    newest = 0
    with reading_sdist(path) as members:
        for member in members:
            entry = tarfile.TarInfo(f"{below}/{member.name}")
            entry.mode, entry.mtime = member.mode, member.mtime
            newest = max(newest, member.mtime)
            if member.link:
                entry.type, entry.linkname = tarfile.SYMTYPE, member.link
            else:
                entry.size = member.size
            archive.addfile(_plain(entry), member.content)
    return newest


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Readable and writable by the builder; nobody's in particular; no set-user-id bits."""
    member.mode = (member.mode | 0o644) & 0o755
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
