"""The files of a project folder or an sdist, by name, with the few small ones that describe it."""

from __future__ import annotations

import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from pytest_manylinux.errors import ProjectError
from pytest_manylinux.escape import printable
from pytest_manylinux.host.paths import MAX_TEXT, is_file_of

SDIST_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""PEP 625 knows .tar.gz only; the others are what older indexes still hold."""

MAX_UNPACKED = 1024**3
"""Bytes of a project's files: a sandbox's 2 GiB hold them twice, packed and unpacked."""
MAX_ENTRIES = 200_000
_MAX_SCAN = 20_000
_DESCRIBES = frozenset({"pyproject.toml", "setup.py", "setup.cfg", "PKG-INFO"})
_DESCRIBES_BELOW = frozenset({"meson.build"})
JUNK = frozenset(
    {
        *("__pycache__", ".git", ".hg", ".svn", ".tox", ".nox", ".venv", ".eggs", "node_modules"),
        *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".idea", ".vscode"),
    }
)
"""Folders that are no part of a project wherever they lie."""
JUNK_AT_TOP = frozenset({"build", "dist", "wheelhouse", "venv", "env"})
"""Folders that are left over from earlier work if they lie in a project's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """`names` are file paths relative to the root, with forward slashes; `texts` a few contents."""

    path: Path
    names: frozenset[str]
    texts: dict[str, str]


def is_sdist(path: Path) -> bool:
    """Whether the path is a file with an sdist's suffix."""
    return path.name.lower().endswith(SDIST_SUFFIXES) and path.is_file()


def open_tree(path: Path) -> Tree:
    """List a project folder or an sdist; raises ProjectError for anything else or unsafe members."""
    if path.is_dir():
        return _folder(path)
    if not is_sdist(path):
        raise ProjectError(
            f"{path} is neither a project folder nor an sdist",
            why="it does not exist" if not path.exists() else "its name has no sdist's suffix",
            remedy="give a folder with pyproject.toml or setup.py, an sdist (.tar.gz) or a wheel",
        )
    names: set[str] = set()
    texts: dict[str, str] = {}
    with reading_sdist(path) as members:
        for member in members:
            names.add(member.name)
            if member.content is not None and _describes(member.name) and member.size <= MAX_TEXT:
                texts[member.name] = member.content.read().decode("utf-8", errors="replace")
    return Tree(path=path, names=frozenset(names), texts=texts)


def _folder(path: Path) -> Tree:
    names: list[str] = []
    texts: dict[str, str] = {}
    for name in walk(path):
        names.append(name)
        file = path / name
        if _describes(name) and is_file_of(path, file):
            try:
                if file.stat().st_size <= MAX_TEXT:
                    texts[name] = file.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                _unreadable(error)
        if len(names) >= _MAX_SCAN:
            break
    return Tree(path=path, names=frozenset(names), texts=texts)


def walk(folder: Path) -> Iterator[str]:
    """Names of all files and links below a folder, junk left out, in a stable order.

    Raises ProjectError for a folder that cannot be read.
    """
    for here, folders, files in os.walk(folder, onerror=_unreadable):
        top = Path(here) == folder
        kept = sorted(name for name in folders if not _is_junk(Path(here) / name, top=top))
        prefix = "" if top else f"{Path(here).relative_to(folder).as_posix()}/"
        folders[:] = [name for name in kept if not (Path(here) / name).is_symlink()]
        links = [name for name in kept if (Path(here) / name).is_symlink()]
        yield from (f"{prefix}{name}" for name in sorted([*files, *links]))


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a folder that has just gone
        raise ProjectError(
            f"{printable(error.filename)} cannot be read",
            why=error.strerror or str(error),
            remedy="make it readable, or move it out of the project",
        ) from error


def is_junk(name: str) -> bool:
    """Whether a file's name lies in a folder that is no part of a project."""
    folders = name.split("/")[:-1]
    return not JUNK.isdisjoint(folders) or (bool(folders) and folders[0] in JUNK_AT_TOP)


def _is_junk(folder: Path, *, top: bool) -> bool:
    if folder.name in JUNK or (folder / "pyvenv.cfg").is_file():
        return True
    return top and folder.name in JUNK_AT_TOP and not (folder / "__init__.py").is_file()


def _describes(name: str) -> bool:
    return name in _DESCRIBES or name.rsplit("/", 1)[-1] in _DESCRIBES_BELOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file or link of an sdist, its top folder taken off. `content` is None for links.

    Read the content before the next member is asked for: archives are read as streams.
    """

    name: str
    size: int
    mode: int
    mtime: int
    link: str = ""
    content: IO[bytes] | None = None


@contextmanager
def reading_sdist(path: Path) -> Iterator[Iterator[Member]]:
    """Stream the files and links of an sdist.

    Raises ProjectError, also while contents are read, for an archive that cannot be read, holds
    more than one top folder, is bigger than bounds allow, or holds members that tarfile's `data`
    filter (PEP 706) would refuse: absolute names, names or links that lead out of the top folder,
    devices, pipes.
    """
    try:
        yield _checked(path)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, KeyError) as error:
        raise ProjectError(
            f"{path.name} cannot be read as an sdist",
            why=str(error) or type(error).__name__,
            remedy="download or make it again",
        ) from error


def _checked(path: Path) -> Iterator[Member]:
    total = 0
    top: str | None = None
    for count, member in enumerate(_members(path)):
        total += member.size
        if total > MAX_UNPACKED or count >= MAX_ENTRIES:
            raise ProjectError(
                f"{path.name} is too big", why=f"it unpacks to more than {MAX_UNPACKED >> 20} MiB"
            )
        first, _, rest = member.name.removeprefix("./").partition("/")
        if top is None:
            top = first
        _check(path, member, rest, same_top=first == top)
        yield replace(member, name=rest)


def _check(path: Path, member: Member, rest: str, *, same_top: bool) -> None:
    name = PurePosixPath(member.name)
    target = PurePosixPath(rest).parent / member.link
    depth = 0
    for part in target.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            break
    if name.is_absolute() or ".." in name.parts or not rest or not same_top:
        why = f"its member {member.name!r} does not lie below the one folder that an sdist holds"
    elif member.link and (target.is_absolute() or depth < 0):
        why = f"its member {member.name!r} links to {member.link!r}, outside the archive"
    else:
        return
    raise ProjectError(f"{path.name} is no sound sdist", why=why, remedy="do not trust this file")


def _members(path: Path) -> Iterator[Member]:
    with tarfile.open(path, mode="r:*") as archive:
        for entry in archive:
            if entry.isdir() or entry.name in {"", ".", "pax_global_header"}:
                continue
            if not (entry.isreg() or entry.issym() or entry.islnk()):
                raise ProjectError(
                    f"{path.name} is no sound sdist",
                    why=f"its member {entry.name!r} is a device or pipe",
                    remedy="do not trust this file",
                )
            yield _member(archive, entry)


def _member(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Member:
    """Hard links become copies of what they name; symbolic links stay links."""
    content = archive.extractfile(entry) if entry.isreg() or entry.islnk() else None
    size = archive.getmember(entry.linkname).size if entry.islnk() else entry.size
    return Member(
        name=entry.name,
        size=size,
        mode=entry.mode,
        mtime=int(entry.mtime),
        link=entry.linkname if entry.issym() else "",
        content=content,
    )
