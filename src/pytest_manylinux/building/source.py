"""A snapshot of a project as one tar stream for a sandbox: the user's tree is only read.

A folder in git: what git tracks and what is untracked but not ignored. A folder outside of git:
everything but the usual left-overs. An sdist: its members, checked, without the top folder.

git is asked without changing a byte of the folder and without its programs. A repository's own
configuration and attributes name programs: hooks, monitors, filters, signature checks, transports. It
may come with a stranger's tree, so none of them is run (docs/explanation/security.md). git may be
missing, or the folder may not be a repository: then what is asked of it is None.
"""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_manylinux.building.project import MAX_UNPACKED, Project, is_junk, reading_sdist, walk
from pytest_manylinux.errors import ProjectError
from pytest_manylinux.escape import printable
from pytest_manylinux.host.path_checks import kind_of

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
    return _listed_names(tracked), _listed_names(others)


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
    listed = _listed_names(_git(folder, "ls-files", "--stage", "-z") or b"")
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


def _listed_names(output: bytes) -> list[str]:
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


def turn_around(archive: Path) -> None:
    """Put the files of a packed source into the opposite order; folders stay before their files."""
    turned = archive.with_name(f"{archive.name}.turned")
    with tarfile.open(archive) as old, tarfile.open(turned, "w", format=tarfile.PAX_FORMAT) as new:
        members = old.getmembers()
        links = [member for member in members if member.islnk()]  # which come after what they name
        plain = [member for member in members if not member.islnk()]
        folders = [member for member in plain if member.isdir()]
        for member in (*folders, *reversed([one for one in plain if not one.isdir()]), *links):
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    turned.replace(archive)


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
