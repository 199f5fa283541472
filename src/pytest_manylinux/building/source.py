"""A snapshot of a project as one tar stream for a sandbox: the user's tree is only read.

A folder in git: what git tracks and what is untracked but not ignored. A folder outside of git:
everything but the usual left-overs. An sdist: its members, checked, without the top folder.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_manylinux.building.git import commit_of, listed_files, repository_of
from pytest_manylinux.building.project import MAX_UNPACKED, Project, is_junk, reading_sdist, walk
from pytest_manylinux.errors import ProjectError
from pytest_manylinux.escape import printable
from pytest_manylinux.host.path_checks import kind_of

OBJECTS = PurePosixPath("/scratch/objects")
_EPOCH = 315_619_200
"""2 January 1980 UTC: the first whole day that a zip archive can hold in every time zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was packed. `epoch` (seconds) is the build's SOURCE_DATE_EPOCH (reproducible-builds.org).

    `objects` is git's object folder: to be seen in the sandbox at OBJECTS, so that tools which ask
    git for the version (setuptools-scm) get their answer. Nothing else of the repository goes in:
    its configuration and hooks are the user's own affair. `left_out` has a line for each special file.
    """

    epoch: int
    commit: str = ""
    dirty: bool = False
    objects: Path | None = None
    left_out: tuple[str, ...] = ()


def snapshot(
    project: Project,
    target: Path,
    *,
    below: str,
    leave_out: Iterable[Path],
    say: Callable[[str], None],
) -> Snapshot:
    """Pack a project into the new tar file `target`; see `pack`. `say` gets what was left out."""
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        packed = pack(project, archive, below=below, leave_out=leave_out)
    for line in packed.left_out:
        say(line)
    return packed


def pack(
    project: Project,
    archive: tarfile.TarFile,
    *,
    below: str,
    leave_out: Iterable[Path] = (),
    history: bool = True,
) -> Snapshot:
    """Add the project's files to `archive` under the folder `below`.

    `leave_out` are files and folders of ours that may lie in the project (a wheelhouse); without
    `history` the copy knows nothing of git. Raises
    ProjectError for a file or folder that cannot be read, one that changes while it is copied, more
    than MAX_UNPACKED bytes, and for what `reading_sdist` refuses.
    """
    if project.is_sdist:
        return Snapshot(epoch=_epoch(_pack_sdist(project.path, archive, below)))
    folder = project.path.resolve()
    commit = commit_of(folder)
    ours = [path.resolve() for path in leave_out]
    packer = _Packer(folder, archive)
    for name in _names(folder):
        path = folder / name
        if _lies_within(name) and not any(path.is_relative_to(other) for other in ours):
            packer.add(path, f"{below}/{name}")
    left_out = tuple(packer.left_out)
    if commit is None:
        return Snapshot(epoch=_epoch(None), left_out=left_out)
    objects = _pack_repository(folder, archive, f"{below}/.git") if history else None
    return Snapshot(
        epoch=_epoch(commit.time),
        commit=commit.id,
        dirty=commit.dirty,
        objects=objects,
        left_out=left_out,
    )


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


def _lies_within(name: str) -> bool:
    """Whether the name of a listed file stays below the folder.

    git's index is a file of the project's, and may list anything.
    """
    parts = PurePosixPath(name)
    return not parts.is_absolute() and ".." not in parts.parts


class _Packer:
    """Adds files of one folder to an archive: regular ones and links, and never what lies elsewhere.

    A file below a folder that is a link counts as deleted, as git sees it. `left_out` has a line for
    each pipe, socket or device.
    """

    def __init__(self, folder: Path, archive: tarfile.TarFile) -> None:
        self.left_out: list[str] = []
        self._folder = folder
        self._archive = archive
        self._size = 0
        self._real: dict[Path, bool] = {folder: True}

    def add(self, path: Path, name: str) -> None:
        """Add a file or link as it is; what git tracks but is not there (deleted) is left out."""
        try:
            if not self._is_below_real_folders(path.parent):
                return
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                self._add_file(path, name)
            elif stat.S_ISLNK(status.st_mode):
                self._archive.addfile(_plain(self._archive.gettarinfo(path, arcname=name)))
            elif kind := kind_of(path):
                self.left_out.append(f"{printable(path)} is {kind}: not part of the copy")
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise ProjectError(
                f"{printable(path)} cannot be read",
                why=error.strerror or str(error),
                remedy="make it readable, or have git ignore it if the build does not need it",
            ) from error

    def _is_below_real_folders(self, folder: Path) -> bool:
        if folder not in self._real:
            self._real[folder] = not folder.is_symlink() and (
                folder.parent == folder or self._is_below_real_folders(folder.parent)
            )
        return self._real[folder]

    def _add_file(self, path: Path, name: str) -> None:
        """Copy what is there when it is opened; raises ProjectError if it changes meanwhile."""
        # a link or a pipe that takes the file's place now is neither followed nor waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as content:
            before = os.fstat(descriptor)
            self._count(path, before.st_size)
            member = tarfile.TarInfo(name)
            member.mode, member.mtime, member.size = before.st_mode, before.st_mtime, before.st_size
            try:
                self._archive.addfile(_plain(member), content)
            except OSError as error:
                if error.errno is not None:
                    raise
                raise _changed(path) from error  # tarfile met the end too early
            after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise _changed(path)

    def _count(self, path: Path, size: int) -> None:
        self._size += size
        if self._size > MAX_UNPACKED:
            raise ProjectError(
                f"{self._folder.name} is too big to be copied: more than {MAX_UNPACKED >> 20} MiB",
                why=f"with {printable(path)}, which has {size >> 20} MiB",
                remedy="have git ignore what the build does not need",
            )


def _changed(path: Path) -> ProjectError:
    return ProjectError(
        f"{printable(path)} changed while it was copied",
        remedy="run again when nothing writes to it, or have git ignore it",
    )


def _pack_repository(folder: Path, archive: tarfile.TarFile, below: str) -> Path | None:
    """A repository without configuration, hooks and objects; the folder with its objects.

    Only where the folder is the top of its work tree: further up lies what is not the project's.
    """
    repository = repository_of(folder)
    if repository is None:
        return None
    own, shared = _Packer(repository.own, archive), _Packer(repository.shared, archive)
    for name in ("HEAD", "index"):
        own.add(repository.own / name, f"{below}/{name}")
    for name in ("packed-refs", "shallow", *_below(repository.shared, "refs")):
        shared.add(repository.shared / name, f"{below}/{name}")
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
