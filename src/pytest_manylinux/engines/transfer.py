"""Files into and out of sandboxes, and whole roots, as tar streams; what comes out is not trusted.

Inside, the image's own `tar` does the work, or its `python3` where an image has no tar.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from pytest_manylinux.engines.api import MIB, SCRATCH, Command, Completed, Sink
from pytest_manylinux.errors import SandboxError, StoreError

_NO_SUCH_PROGRAM = (126, 127)
_TIMEOUT = 600.0
_KERNELS = frozenset({"proc", "sys", "dev"})
_TAR_OVERHEAD = 64 * MIB
_WRITABLE = (SCRATCH, PurePosixPath("/tmp"))  # noqa: S108 - the sandbox's own
_PY_EXTRACT = "import sys,tarfile;tarfile.open(fileobj=sys.stdin.buffer,mode='r|').extractall('/')"
_PY_CREATE = (
    "import sys,tarfile;t=tarfile.open(fileobj=sys.stdout.buffer,mode='w|',format=tarfile.PAX_FORMAT);"
    "t.add(sys.argv[1]+'/'+sys.argv[2],arcname=sys.argv[2]);t.close()"
)


def extract_commands() -> tuple[tuple[str, ...], ...]:
    """Commands that unpack a tar stream on standard input at /; the next if one is missing."""
    return ("tar", "-x", "-o", "-f", "-", "-C", "/"), ("python3", "-I", "-c", _PY_EXTRACT)


def create_commands(source: PurePosixPath) -> tuple[tuple[str, ...], ...]:
    """Commands that pack `source`, under its last name, to standard output."""
    folder, name = str(source.parent), source.name
    return (
        ("tar", "-c", "-f", "-", "-C", folder, "--", name),
        ("python3", "-I", "-c", _PY_CREATE, folder, name),
    )


def check_inside(target: PurePosixPath) -> None:
    """Raise SandboxError unless `target` lies below a writable folder of the sandbox."""
    if ".." in target.parts or not any(folder in target.parents for folder in _WRITABLE):
        raise SandboxError(f"{target} is no place to copy to: it must be below /scratch or /tmp")


def pack(source: Path, target: PurePosixPath, stream: IO[bytes]) -> None:
    """Write `source` as a tar stream whose members lie at `target`, seen from /.

    Links stay links; raises SandboxError for a missing source and for special files.
    """
    name = str(target).lstrip("/")
    try:
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for path in _walk(source):
                relative = path.relative_to(source)
                _add(archive, path, f"{name}/{relative}" if relative.parts else name)
    except OSError as error:
        raise SandboxError(f"cannot copy {source} into the sandbox", why=str(error)) from error


def _walk(folder: Path) -> Iterator[Path]:
    yield folder
    if folder.is_dir() and not folder.is_symlink():
        for entry in sorted(folder.iterdir()):
            yield from _walk(entry)


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    member = archive.gettarinfo(path, arcname=name)
    if member is None:
        raise SandboxError(f"cannot copy {path} into the sandbox: it is a special file")
    if member.islnk():  # a second name of a file seen before: copied as a file of its own
        member.type, member.size = tarfile.REGTYPE, path.stat().st_size
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= stat.S_IRUSR | stat.S_IWUSR | (stat.S_IXUSR if member.isdir() else 0)
    if member.isreg():
        with path.open("rb") as content:
            archive.addfile(member, content)
    elif member.isdir() or member.issym():
        archive.addfile(member)
    else:
        raise SandboxError(f"cannot copy {path} into the sandbox: it is a special file")


def unpack(stream: IO[bytes], name: str, target: Path, *, bound: int) -> None:
    """Write the tar stream's member `name`, and all below it, to `target`.

    The stream comes from a sandbox: links, special files, paths that lead elsewhere, repeated
    names and more than `bound` bytes raise SandboxError. Nothing outside `target` is touched. A disk
    of ours that is full is a StoreError.
    """
    left = bound
    sizes: dict[str, int] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                sizes[member.name] = sizes.get(member.linkname, 0) if member.islnk() else member.size
                left -= sizes[member.name]
                if left < 0:
                    raise SandboxError(f"{name} in the sandbox is too big to copy out")
                path = _destination(member.name, name, target)
                if member.islnk() and member.linkname in sizes:  # a second name of a file before
                    with _destination(member.linkname, name, target).open("rb") as first:
                        _write(first, path, member.mode)
                else:
                    _extract(archive, member, path)
    except (tarfile.TarError, OSError, ValueError) as error:  # ValueError: a NUL within a name, say
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreError(
                f"no room left in {target.parent} for {name}, which comes out of a sandbox",
                why=str(error),
                remedy="make room there, or name a roomier folder: PYTEST_MANYLINUX_CACHE, TMPDIR",
            ) from error
        raise SandboxError(f"cannot copy {name} out of the sandbox", why=str(error)) from error


def _destination(member: str, name: str, target: Path) -> Path:
    parts = PurePosixPath(member).parts
    if not parts or parts[0] != name or ".." in parts:
        raise SandboxError(f"the sandbox offered {member!r} when asked for {name!r}")
    return target.joinpath(*parts[1:])


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        return
    if not member.isreg():
        raise SandboxError(f"{member.name} in the sandbox is a link or special file: not copied out")
    content = archive.extractfile(member)
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        _write(content, path, member.mode)


def _write(content: IO[bytes], path: Path, mode: int) -> None:
    """Make the file `path`, which must not be there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    permissions = 0o755 if mode & stat.S_IXUSR else 0o644
    with os.fdopen(os.open(path, flags, permissions), "wb") as file:
        shutil.copyfileobj(content, file)


class RunCommand(Protocol):
    """Run a command in a sandbox with an open file as input; stdout goes to `sink` if there is one."""

    def __call__(self, command: Command, stdin: IO[bytes] | None, sink: Sink | None) -> Completed:
        """Run it to its end."""


def send(run: RunCommand, source: Path, target: PurePosixPath) -> None:
    """Copy `source` to the path `target` in a sandbox; a folder is merged into one that is there."""
    check_inside(target)
    with tempfile.TemporaryFile() as archive:
        pack(source, target, archive)
        _first_that_exists(run, extract_commands(), str(target), archive, None)


def fetch(run: RunCommand, source: PurePosixPath, target: Path, *, bound: int) -> None:
    """Copy `source` in a sandbox to the path `target`; see `unpack` for what is refused.

    A folder is merged into one that is there; a file that is there is an error.
    """
    with tempfile.TemporaryFile() as archive:
        sink = _BoundedFile(archive, bound + _TAR_OVERHEAD)
        _first_that_exists(run, create_commands(source), str(source), None, sink)
        sink.check()
        archive.seek(0)
        unpack(archive, source.name, target, bound=bound)


def _first_that_exists(
    run: RunCommand,
    commands: Iterable[tuple[str, ...]],
    what: str,
    stdin: IO[bytes] | None,
    sink: Sink | None,
) -> None:
    words = ""
    for argv in commands:
        if stdin is not None:
            stdin.seek(0)
        completed = run(Command(argv=argv, cwd=PurePosixPath("/"), timeout=_TIMEOUT), stdin, sink)
        if completed.ok:
            return
        words = completed.reason()
        if completed.exit_code not in _NO_SUCH_PROGRAM:
            break
    raise SandboxError(f"copying {what} in or out of the sandbox failed", why=words)


class _BoundedFile:
    """A sink that writes into a file of at most `bound` bytes.

    A disk that is full is told of by `check`, once the command has ended: what raises while it runs
    would leave its output unread, and for that engines close the whole sandbox.
    """

    def __init__(self, file: IO[bytes], bound: int) -> None:
        self._file = file
        self._bound = bound
        self._taken = 0
        self._error: OSError | None = None

    def __call__(self, data: bytes) -> None:
        self._taken += len(data)
        if self._taken > self._bound:
            raise SandboxError("what is to be copied out of the sandbox is too big")
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error

    def check(self) -> None:
        """Raise the OSError of a write that failed."""
        if self._error is not None:
            raise self._error


def pack_root(root: Path, stream: IO[bytes]) -> None:
    """Write a root as a tar stream, owners kept.

    A root that an ordinary user made belongs to subordinate ids: the owner of the root folder is
    taken for the superuser, and ids count from there. What that user may not read (/etc/shadow)
    is left out; so are device files and what the kernel shows.
    """
    base = root.stat().st_uid
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in _walk_root(root):
            name = str(path.relative_to(root))
            member = archive.gettarinfo(path, arcname=name)
            if member is None or member.ischr() or member.isblk() or member.isfifo():
                continue
            member.uname = member.gname = ""
            member.uid, member.gid = max(member.uid - base, 0), max(member.gid - base, 0)
            if not member.isreg():
                archive.addfile(member)
            elif os.access(path, os.R_OK):
                with path.open("rb") as content:
                    archive.addfile(member, content)


def _walk_root(root: Path, depth: int = 0) -> Iterator[Path]:
    for entry in sorted(root.iterdir()) if os.access(root, os.R_OK | os.X_OK) else ():
        yield entry
        if stat.S_ISDIR(entry.lstat().st_mode) and not (depth == 0 and entry.name in _KERNELS):
            yield from _walk_root(entry, depth + 1)
