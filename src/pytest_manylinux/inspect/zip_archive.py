"""A wheel's zip archive as a bounded stream of files: nothing is unpacked to disk, nothing is believed.

Every entry is checked before the first byte is read, so a hostile archive costs no more than its
directory and the headers of its files. What another reader could read otherwise is refused
(zip_layout.py). Rules: the zip specification (APPNOTE 4.4.17: relative names, forward slashes; 4.4.5:
methods) and the binary distribution format of the packaging specifications.

Few wheels use bzip2, LZMA and Zstandard. Python has all of them from 3.14 on; before that, Zstandard is
backports.zstd, if that is installed.
"""

from __future__ import annotations

import bz2
import errno
import importlib
import itertools
import lzma
import os
import posixpath
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_manylinux.errors import MalformedWheelError, StoreError, UsageError
from pytest_manylinux.host.shutdown import Closeable
from pytest_manylinux.inspect import deflate
from pytest_manylinux.inspect.zip_layout import UTF8, LayoutError, read_layout

ZIP_ZSTANDARD = 93
METHODS = {
    zipfile.ZIP_STORED: "stored",
    zipfile.ZIP_DEFLATED: "deflated",
    zipfile.ZIP_BZIP2: "bzip2",
    zipfile.ZIP_LZMA: "LZMA",
    ZIP_ZSTANDARD: "Zstandard",
}
"""The methods that some installer unpacks, by their numbers."""

_LZMA_HEAD = 4  # version, and the size of the properties that follow


class UnpackError(Exception):
    """What is packed is damaged."""


def unpacked(method: int, pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Unpack a file's pieces, `most` bytes at a time; raises UnpackError if they are damaged."""
    try:
        for data, decoder in _decoding(method, pieces):
            piece = decoder.decompress(data, most)
            while piece:
                yield piece
                if decoder.eof or decoder.needs_input:
                    break
                piece = decoder.decompress(b"", most)
    except StoreError:
        raise
    except Exception as error:  # each decoder has errors of its own
        raise UnpackError(str(error)) from error


def _decoding(method: int, pieces: Iterable[bytes]) -> Iterator[tuple[bytes, Any]]:
    """Each piece with the decoder for it; an LZMA file begins with its properties."""
    decoder: Any = None
    for piece in pieces:
        data = piece
        if decoder is None and method == zipfile.ZIP_LZMA:
            size = struct.unpack_from("<H", piece, 2)[0]
            properties, data = piece[_LZMA_HEAD : _LZMA_HEAD + size], piece[_LZMA_HEAD + size :]
            settings = struct.unpack_from("<BI", properties)
            decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_lzma_filter(*settings)])
        elif decoder is None:
            decoder = bz2.BZ2Decompressor() if method == zipfile.ZIP_BZIP2 else _zstandard()
        yield data, decoder


def _lzma_filter(packed: int, dictionary: int) -> dict[str, int]:
    """The settings of a raw LZMA1 stream by its first five bytes (LZMA specification)."""
    rest, lc = divmod(packed, 9)
    pb, lp = divmod(rest, 5)
    return {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}


def _zstandard() -> Any:  # noqa: ANN401 - the standard library's from 3.14 on
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name).ZstdDecompressor()
        except ImportError:
            continue
    raise StoreError(
        "a wheel is packed with Zstandard, which this Python does not unpack",
        why="its standard library has it from 3.14 on",
        remedy="pip install backports.zstd, or run with Python 3.14",
    )


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
"""Bytes of a file's packed data read to see how it begins."""

FIRST = 4096
"""Bytes in the first piece: enough to tell what a file is."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DRIVE = re.compile(r"[A-Za-z]:")
_UNREADABLE = (
    *(
        zipfile.BadZipFile,
        zlib.error,
        deflate.DeflateError,
        UnpackError,
        struct.error,
        EOFError,
        NotImplementedError,
    ),
    *(RuntimeError, ValueError, OverflowError, IndexError),
)
"""What zipfile raises for damaged archives, besides OSError for places before the beginning."""

_EXPANDED = 2  # no honest packing makes a file longer than so many times
_REBUILD = "build the wheel again with a current build back end, or download it again"


class Archive(Closeable):
    """An open wheel archive whose entries passed all checks. Use it as a context manager.

    `files` maps each file's normal path to its entry, in the archive's order; folders are left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = _open_zip(path)
        self._descriptor = self._zip.fp.fileno() if self._zip.fp else -1
        try:
            infos = self._zip.infolist()
            self.files = _checked(path, infos)
            self._starts = _unambiguous(path, self._descriptor, infos)
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

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods that its files are packed with, sorted."""
        return tuple(sorted({METHODS[info.compress_type] for info in self.files.values()}))

    def extent(self, name: str) -> tuple[int, int]:
        """Where a file's packed data begins and ends in the archive."""
        info = self.files[name]
        start = self._starts[info.header_offset]
        return start, start + info.compress_size

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes, FIRST of them and then CHUNK at a time at most.

        Raises MalformedWheelError if it is damaged. Threads may read different files at once.
        """
        info, size, checksum = self.files[name], 0, 0
        try:
            for piece in self._pieces(info):
                size, checksum = size + len(piece), deflate.crc32(piece, checksum)
                if size > info.file_size:
                    break
                yield piece
        except (*_UNREADABLE, OSError) as error:
            raise self._damaged(name, str(error)) from error
        self._check_whole(name, size, checksum)

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
        self._check_whole(name, len(data), deflate.crc32(data))
        return data

    def _check_whole(self, name: str, size: int, checksum: int) -> None:
        info = self.files[name]
        if size != info.file_size:
            how = "it is longer" if size > info.file_size else f"it ends after {size} bytes"
            raise self._damaged(name, f"{how}, the archive's directory says {info.file_size}")
        if checksum != info.CRC:
            raise self._damaged(name, "its checksum is not that of the archive's directory")

    def _unpacked(self, info: zipfile.ZipInfo) -> bytes:
        """At most one byte more than the directory states; raises _UNREADABLE."""
        if info.compress_size > _EXPANDED * info.file_size + PEEK:
            raise zipfile.BadZipFile("it is packed into far more bytes than it has")
        packed = os.pread(self._descriptor, info.compress_size, self._starts[info.header_offset])
        if info.compress_type == zipfile.ZIP_STORED:
            return packed
        if info.compress_type != zipfile.ZIP_DEFLATED:
            return b"".join(unpacked(info.compress_type, [packed], info.file_size + 1))
        inflater = deflate.decompressobj(-zlib.MAX_WBITS)
        data = inflater.decompress(packed, info.file_size + 1)
        _check_end(inflater, left=0)
        return data

    def _pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """The bytes of a file of any length, unchecked but for the end of what is packed."""
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            yield from unpacked(info.compress_type, self._packed(info), CHUNK)
            return
        place, left, size = self._starts[info.header_offset], info.compress_size, FIRST
        inflater = deflate.decompressobj(-zlib.MAX_WBITS)
        stored = info.compress_type == zipfile.ZIP_STORED
        packed = b""
        while left if stored else not inflater.eof:
            if left and not packed:
                packed = os.pread(self._descriptor, min(left, size if stored else CHUNK), place)
                place, left = place + len(packed), left - len(packed)
            piece = packed if stored else inflater.decompress(packed, size)
            if not piece and not packed:  # nor was anything kept inside by the last call
                raise zipfile.BadZipFile("it is cut short")
            packed = b"" if stored else inflater.unconsumed_tail
            if piece:
                yield piece
                size = CHUNK
        if not stored:
            _check_end(inflater, left)

    def _packed(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        place, left = self._starts[info.header_offset], info.compress_size
        while left:
            piece = os.pread(self._descriptor, min(left, CHUNK), place)
            if not piece:
                raise zipfile.BadZipFile("it is cut short")
            place, left = place + len(piece), left - len(piece)
            yield piece

    def _damaged(self, name: str, why: str) -> MalformedWheelError:
        return malformed(self.path, f"{name} cannot be unpacked", why)

    def beginning(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a file (some dozens at most), unchecked; empty if damaged.

        A tenth of the time that opening it takes, which counts where only few files matter.
        """
        info = self.files[name]
        try:
            size_packed = min(info.compress_size, PEEK)
            packed = os.pread(self._descriptor, size_packed, self._starts[info.header_offset])
            if info.compress_type == zipfile.ZIP_STORED:
                return packed[:size]
            if info.compress_type != zipfile.ZIP_DEFLATED:
                return b"".join(itertools.islice(self._pieces(info), 1))[:size]
            return deflate.decompressobj(-zlib.MAX_WBITS).decompress(packed, size)
        except (*_UNREADABLE, OSError):
            return b""


def malformed(path: Path, what: str, why: str = "", remedy: str = _REBUILD) -> MalformedWheelError:
    """Make the one kind of error that this room raises for a wheel, naming the file."""
    return MalformedWheelError(f"{path.name}: {what}", why=why, remedy=remedy)


def _check_end(inflater: Any, left: int) -> None:  # noqa: ANN401 - zlib's or ISA-L's
    """Its packed data must end where the directory says: some readers see only that end itself."""
    if not inflater.eof:
        raise zipfile.BadZipFile("its packed data has no end")
    if left or inflater.unused_data:
        raise zipfile.BadZipFile("its packed data ends before the directory says so")


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise malformed(path, "not a zip archive", str(error)) from error
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise malformed(path, "not a zip archive", "its directory lies outside of it") from error
        raise UsageError(f"{path}: cannot be read", why=error.strerror or str(error)) from error


def _unambiguous(path: Path, descriptor: int, infos: Iterable[zipfile.ZipInfo]) -> Mapping[int, int]:
    """Where each entry's data begins, by its header's offset; raises where readers would disagree."""
    try:
        entries, starts = read_layout(descriptor, os.fstat(descriptor).st_size)
    except LayoutError as error:
        raise malformed(path, error.what, error.why) from error
    except (struct.error, OSError) as error:
        raise malformed(path, "its zip directory is damaged", str(error)) from error
    ours = [(e.offset, e.packed, e.size, e.crc, e.flags, e.method, e.name) for e in entries]
    if ours != [_as_read(info) for info in infos]:
        raise malformed(path, "its zip directory is read in several ways", "by Python's zipfile too")
    return starts


def _as_read(info: zipfile.ZipInfo) -> tuple[int, int, int, int, int, int, bytes]:
    name = info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437")
    sizes = (info.header_offset, info.compress_size, info.file_size, info.CRC)
    return (*sizes, info.flag_bits, info.compress_type, name)


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
    if info.compress_type not in METHODS:
        why = f"method {info.compress_type}; no installer unpacks that"
        raise malformed(path, f"{info.filename!a} is packed in an unusual way", why)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.is_dir() and info.file_size:
        raise malformed(path, f"{info.filename!a} is a folder with content", "a folder has none")
    if kind == stat.S_IFDIR and not info.is_dir():
        why = "its name is a file's, its attributes are a folder's"
        raise malformed(path, f"{info.filename!a} is both a file and a folder in it", why)
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
