"""Seals on what caches keep, so that damage is seen before anything is made of it.

A folder that is finished gets a seal: one digest over the content of everything in it, another over
what the file system says of each file (size, dates, inode). As long as the second is as it was, nobody
has written there; where it differs, and once a week anyway since disks forget, the first decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pytest_manylinux.decoding import decode_json

NAME = "seal.json"
EVERY = 7 * 86400.0
"""Seconds after which everything is read again, changed or not."""

_UNSEALED = frozenset({NAME, "used"})  # at the top: the seal itself, and the date of the last use
_CHUNK = 1 << 20
_locks: dict[Path, threading.Lock] = {}
_known: dict[Path, tuple[int, int]] = {}  # folders that this process found whole, by their seals


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """What seal.json holds. `checked` is when the content was last read (seconds since the epoch)."""

    content: str
    look: str
    checked: float


def seal_folder(folder: Path) -> None:
    """Seal a finished folder. Raises OSError."""
    _write(folder, content_of(folder), time.time())


def just_sealed(folder: Path) -> None:
    """Take a folder that this process has sealed, and renamed since, as whole. Raises OSError."""
    with _locks.setdefault(folder, threading.Lock()):
        _known[folder] = _mark(folder)


def seal_links(folder: Path) -> None:
    """Have a sealed folder stay whole whose files were given further names, which changes their ctime.

    A folder that cannot be read or written is read in full by whoever asks for it next.
    """
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        seal = decode_json((folder / NAME).read_bytes(), Seal)
        _write(folder, seal.content, seal.checked)


def is_sealed(folder: Path) -> bool:
    """Whether there is a seal at all; an older release of ours made none."""
    return (folder / NAME).exists()


def is_whole(folder: Path) -> bool:
    """Whether a folder is sealed, and as it was then; each process asks once. False if unreadable."""
    try:
        with _locks.setdefault(folder, threading.Lock()):
            if _known.get(folder) == _mark(folder):
                return True
            whole = _is_whole(folder)
            if whole:
                _known[folder] = _mark(folder)
            return whole
    except (OSError, msgspec.MsgspecError):
        return False


def is_as_sealed(folder: Path) -> bool:
    """Read all of a sealed folder, whatever the file system says. Raises OSError."""
    try:
        seal = decode_json((folder / NAME).read_bytes(), Seal)
    except msgspec.MsgspecError:
        return False
    return seal.content == content_of(folder)


def _mark(folder: Path) -> tuple[int, int]:
    status = (folder / NAME).stat()
    return status.st_ino, status.st_mtime_ns


def _is_whole(folder: Path) -> bool:
    seal = decode_json((folder / NAME).read_bytes(), Seal)
    now = time.time()
    if seal.look == _look(folder) and 0 <= now - seal.checked < EVERY:
        return True
    if seal.content != content_of(folder):
        return False
    with contextlib.suppress(OSError):  # a cache that is read-only is read each time
        _write(folder, seal.content, now)
    return True


def _write(folder: Path, content: str, checked: float) -> None:
    seal = Seal(content=content, look=_look(folder), checked=checked)
    fresh = folder / f"{NAME}.{os.getpid()}"
    fresh.write_bytes(msgspec.json.encode(seal))
    fresh.replace(folder / NAME)


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Paths relative to a folder with what is known of them, in no order; not what no seal covers."""
    base, todo = os.fspath(folder), [""]  # a Path for each of thousands of files is a third of the time
    while todo:
        place = todo.pop()
        with os.scandir(f"{base}/{place}") as found:
            for entry in found:
                if not place and (entry.name in _UNSEALED or entry.name.startswith(f"{NAME}.")):
                    continue
                path = f"{place}{entry.name}"
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    todo.append(f"{path}/")
                yield path, status


def _look(folder: Path) -> str:
    """A digest over what the file system says; of folders only that they are there."""
    lines = []
    for path, status in _entries(folder):
        times = ""
        if not stat.S_ISDIR(status.st_mode):
            times = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        lines.append(f"{path}\0{status.st_mode} {status.st_ino} {times}")
    lines.sort()
    text = "\n".join(lines).encode(errors="surrogateescape")
    return hashlib.sha256(text).hexdigest()


def content_of(folder: Path) -> str:
    """The SHA-256 over every path with its mode, and a file's bytes or a link's target."""
    base, digest = os.fspath(folder), hashlib.sha256()
    for path, status in sorted(_entries(folder)):
        digest.update(f"{path}\0{status.st_mode}\0".encode(errors="surrogateescape"))
        if stat.S_ISLNK(status.st_mode):
            digest.update(os.fsencode(os.readlink(f"{base}/{path}")))  # noqa: PTH115 - as above
        elif stat.S_ISREG(status.st_mode):
            digest.update(_readable_digest(f"{base}/{path}"))
    return digest.hexdigest()


def _readable_digest(path: str) -> bytes:
    """The SHA-256 of a file; a fixed word for one that its owner may not read (/etc/shadow)."""
    try:
        return bytes.fromhex(file_digest(path))
    except PermissionError:
        return b"unreadable"


def file_digest(path: Path | str) -> str:
    """The hexadecimal SHA-256 of a file's content. Raises OSError."""
    digest = hashlib.sha256()
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a file object is a seventh of the time
    try:
        while chunk := os.read(handle, _CHUNK):
            digest.update(chunk)
    finally:
        os.close(handle)
    return digest.hexdigest()


def sealed(key: str, content: bytes) -> bytes:
    """The bytes of a small file that belongs to `key`: damage must not change what is recalled."""
    return _word(key, content) + b"\n" + content


def unsealed(key: str, data: bytes) -> bytes | None:
    """The content of such a file; None if it was damaged, or belongs to another key."""
    word, _, content = data.partition(b"\n")
    return content if word == _word(key, content) else None


def _word(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\n" + content).hexdigest().encode()
