"""A wheel's zip archive as a bounded stream of files: nothing is unpacked, nothing is believed.

Every entry is checked before the first byte is read, so a hostile archive costs no more than its
directory. Rules: the zip specification (APPNOTE 4.4.17: relative names, forward slashes) and the
binary distribution format of the packaging specifications.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_manylinux.closing import Closing
from pytest_manylinux.errors import MalformedWheelError, UsageError
from pytest_manylinux.inspect import deflate

MAX_ENTRIES = 200_000
"""Files in one wheel. The largest real ones hold some 30,000; the directory is kept in memory."""

MAX_UNPACKED = 16 * 1024**3
"""Bytes of all files together. The largest real wheels unpack to some 5 GiB."""

MAX_RATIO = 200
"""Unpacked to packed size. Code and data pack 2 to 20 times; deflate itself ends at 1,032."""

RATIO_MATTERS_FROM = 256 * 1024**2
"""Below so many unpacked bytes the ratio is no danger: small archives of zeros are harmless."""

MAX_NAME = 1024
"""Characters of a path in the archive; Linux takes 4,096 for the whole installed path."""

CHUNK = 4 * 1024 * 1024
"""Bytes read at a time."""

PEEK = 512
"""Bytes of the archive read to see how a file begins: its local header, mostly, and some data."""

FIRST = 4096
"""Bytes in the first piece: enough to tell what a file is."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DRIVE = re.compile(r"[A-Za-z]:")
_UNREADABLE = (
    *(
        zipfile.BadZipFile,
        zlib.error,
        deflate.DeflateError,
        struct.error,
        EOFError,
        NotImplementedError,
    ),
    *(RuntimeError, ValueError, OverflowError, IndexError),
)
"""What zipfile raises for damaged archives, besides OSError for places before the beginning."""

# 30 bytes, of which the last four are the lengths of name and extra field (APPNOTE 4.3.7); the flag
# for names in UTF-8 (4.4.4, bit 11).
_LOCAL_MAGIC, _LOCAL_HEADER, _LOCAL_LENGTHS = b"PK\x03\x04", 30, 26
_UTF8 = 0x800
_EXPANDED = 2  # no honest packing makes a file longer than so many times
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_REBUILD = "build the wheel again with a current build back end, or download it again"


class Archive(Closing):
    """An open wheel archive whose entries passed all checks. Use it as a context manager.

    `files` maps each file's normal path to its entry, in the archive's order; folders are left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = _open_zip(path)
        self._descriptor = self._zip.fp.fileno() if self._zip.fp else -1
        self._lock = threading.Lock()  # ZipFile counts its open members without one
        try:
            self.files = _checked(path, self._zip.infolist())
        except BaseException:
            self._zip.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    @property
    def unpacked_size(self) -> int:
        """The bytes of all files together, as the directory states and reading enforces."""
        return sum(info.file_size for info in self.files.values())

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes, FIRST of them and then CHUNK at a time.

        Raises MalformedWheelError if it is damaged. Threads may read different files at once.
        """
        try:
            with self._lock:
                member = self._zip.open(self.files[name])
            try:
                size = FIRST
                while piece := member.read(size):
                    yield piece
                    size = CHUNK
            finally:
                with self._lock:
                    member.close()
        except (*_UNREADABLE, OSError) as error:
            raise self._damaged(name, str(error)) from error

    def read(self, name: str, *, limit: int) -> bytes:
        """A small file as a whole; raises MalformedWheelError if it is larger than `limit` bytes.

        Unpacked in one call, for which a thread gives up the interpreter's lock once. Raises
        MalformedWheelError too if the file is damaged.
        """
        info = self.files[name]
        if info.file_size > limit:
            raise malformed(
                self.path, f"{name} is too large", f"{info.file_size} bytes, at most {limit} are read"
            )
        try:
            data = self._unpacked(info)
        except (*_UNREADABLE, OSError) as error:
            raise self._damaged(name, str(error)) from error
        if len(data) != info.file_size:
            why = f"it ends after {len(data)} bytes, the archive's directory says {info.file_size}"
            raise self._damaged(name, why)
        if deflate.crc32(data) != info.CRC:
            raise self._damaged(name, "its checksum is not that of the archive's directory")
        return data

    def _unpacked(self, info: zipfile.ZipInfo) -> bytes:
        """At most as many bytes as the directory states; raises _UNREADABLE."""
        head = os.pread(
            self._descriptor, _LOCAL_HEADER + len(info.orig_filename) * 4, info.header_offset
        )
        place, name = _local(head)
        if info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437") != name:
            raise zipfile.BadZipFile("its own header has another name")
        size = min(info.compress_size, _EXPANDED * info.file_size + PEEK)
        packed = os.pread(self._descriptor, size, info.header_offset + place)
        if info.compress_type == zipfile.ZIP_STORED or not info.file_size:
            return packed[: info.file_size]  # 0 would mean all that there is to `decompress`
        return deflate.decompressobj(-zlib.MAX_WBITS).decompress(packed, info.file_size)

    def _damaged(self, name: str, why: str) -> MalformedWheelError:
        return malformed(self.path, f"{name} cannot be unpacked", why)

    def beginning(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a file (some dozens at most), unchecked; empty if damaged.

        A tenth of the time that opening it takes, which counts where only few files matter.
        """
        info = self.files[name]
        try:
            head = os.pread(self._descriptor, PEEK, info.header_offset)
            start, _ = _local(head)
            packed = head[start : start + info.compress_size]
            if len(packed) < min(info.compress_size, PEEK // 4):
                packed = os.pread(self._descriptor, PEEK, info.header_offset + start)
            if info.compress_type == zipfile.ZIP_STORED:
                return packed[:size]
            return deflate.decompressobj(-zlib.MAX_WBITS).decompress(packed, size)
        except (*_UNREADABLE, OSError):
            return b""


def malformed(path: Path, what: str, why: str = "", remedy: str = _REBUILD) -> MalformedWheelError:
    """Make the one kind of error that this room raises for a wheel, naming the file."""
    return MalformedWheelError(f"{path.name}: {what}", why=why, remedy=remedy)


def _local(head: bytes) -> tuple[int, bytes]:
    """Where a file's data begins, counted from its local header, and its name there."""
    if not head.startswith(_LOCAL_MAGIC):
        raise zipfile.BadZipFile("its own header is not where the directory says")
    name, extra = struct.unpack_from("<HH", head, _LOCAL_LENGTHS)
    return _LOCAL_HEADER + name + extra, head[_LOCAL_HEADER : _LOCAL_HEADER + name]


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise malformed(path, "not a zip archive", str(error)) from error
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise malformed(path, "not a zip archive", "its directory lies outside of it") from error
        raise UsageError(f"{path}: cannot be read", why=error.strerror or str(error)) from error


def _checked(path: Path, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Check all entries, cheapest first, and give the files by their normal paths."""
    if len(infos) > MAX_ENTRIES:
        raise malformed(path, "too many files", f"{len(infos)} entries, at most {MAX_ENTRIES} are read")
    _check_sizes(path, infos)
    files: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for info in infos:
        name = _plain_name(path, info)
        _check_kind(path, info)
        if info.is_dir():
            folders.add(name)
        elif name in files:
            raise malformed(
                path, f"{name} is in the archive twice", "which one is meant is anyone's guess"
            )
        else:
            files[name] = info
    _check_clashes(path, files, folders)
    return files


def _check_sizes(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    if unpacked > MAX_UNPACKED:
        raise malformed(
            path, "unpacks to too much", f"{unpacked} bytes, at most {MAX_UNPACKED} are read"
        )
    size = max(1, path.stat().st_size)
    if packed > size:
        raise malformed(
            path, "entries overlap", f"they state {packed} packed bytes in a file of {size}"
        )
    if unpacked > RATIO_MATTERS_FROM and unpacked > MAX_RATIO * size:
        why = f"{size} bytes unpack to {unpacked}, more than {MAX_RATIO} times as many"
        raise malformed(path, "a zip bomb", why)


def _plain_name(path: Path, info: zipfile.ZipInfo) -> str:
    """The entry's normal relative path; raises for every name that could lead elsewhere."""
    raw = info.orig_filename
    shown = ascii(raw)
    if len(raw) > MAX_NAME:
        raise malformed(path, "a path in it is too long", f"{len(raw)} characters, at most {MAX_NAME}")
    if _CONTROL.search(raw):
        raise malformed(path, f"the path {shown} in it holds control characters")
    if raw.startswith("/") or _DRIVE.match(raw):
        raise malformed(path, f"the path {shown} in it is absolute", "it would be written outside")
    if "\\" in raw:
        raise malformed(
            path, f"the path {shown} in it holds a backslash", "zip paths use forward slashes"
        )
    if ".." in raw.split("/"):
        raise malformed(path, f"the path {shown} in it leads outside (path traversal)")
    name = posixpath.normpath(raw)
    if name == ".":
        raise malformed(path, f"the path {shown} in it names no file")
    return name


def _check_kind(path: Path, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 0x1:
        raise malformed(path, f"{info.filename!a} is encrypted", "installers cannot ask for a password")
    if info.compress_type not in _METHODS:
        why = f"method {info.compress_type}; installers surely know only stored and deflated"
        raise malformed(path, f"{info.filename!a} is packed in an unusual way", why)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        word = "a symbolic link" if kind == stat.S_IFLNK else "a special file"
        raise malformed(
            path,
            f"{info.filename!a} is {word}",
            "the wheel format has plain files only",
            "put a copy of the file in the place of the link",
        )


def _check_clashes(path: Path, files: Iterable[str], folders: set[str]) -> None:
    """No file may stand where a folder must be."""
    parents = set(folders)
    for name in files:
        parent = posixpath.dirname(name)
        while parent and parent not in parents:
            parents.add(parent)
            parent = posixpath.dirname(parent)
    for name in files:
        if name in parents:
            raise malformed(path, f"{name} is both a file and a folder in it")
