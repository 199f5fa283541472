"""Wheels on a server, read by HTTP range requests (RFC 9110, section 14) instead of as a whole.

A file of the wheel's size, all holes, is filled where reading will look: the directory at its end, the
headers, the beginnings of all files, then whole files that facts are made of. It is read by the code
that reads wheels on disk, so that the facts are the same. What several wheels of a release have in
common, by RECORD's digests, is fetched once. Where anything in it looks wrong, and where a server gives
no ranges, the whole file is downloaded: errors are those of whole files.

ELF files are fetched whole: their dynamic section stands behind the code, and a deflated file can only
be unpacked from its beginning.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import requests

from pytest_manylinux.errors import MalformedWheelError, PackageIndexError
from pytest_manylinux.inspect.distinfo import read_distinfo
from pytest_manylinux.inspect.wheel_file import files_of_a_glance, glance, named_wheel, read_wheel
from pytest_manylinux.inspect.zip_archive import PEEK, Archive
from pytest_manylinux.inspect.zip_layout import LayoutError, find_directory, read_entries
from pytest_manylinux.model.wheel import WheelFacts

TIMEOUT = 30.0
"""Seconds without a byte, or until a connection stands."""

TAIL = 16 * 1024
"""Bytes at a wheel's end that are asked for first; the directory of some 150 files fits."""

NEAR = 64 * 1024
"""A gap of so many bytes is fetched too: on most ways a request costs more."""

AT_ONCE = 8
"""Requests for one wheel at a time."""

_HEADER = 30 + 64  # a local header, and room for its extra fields
_DESCRIPTOR = 24  # bytes that may follow a file's data
_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NO_RANGES = (200, 416, 501)  # answers to a range at the end of a file from servers without ranges
_Span = tuple[int, int]


class _NoRangesError(Exception):
    """The server does not give parts of files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What reading has cost: bytes fetched, bytes of all files, requests, files downloaded whole."""

    fetched: int = 0
    size: int = 0
    requests: int = 0
    whole: tuple[str, ...] = ()


class RemoteWheels:
    """Reads wheels from servers; the caller removes `folder`, which parts of them are kept in."""

    def __init__(self, session: requests.Session, folder: Path) -> None:
        self.transfer = Transfer()
        self._session = session
        self._folder = folder
        self._known: dict[tuple[bytes, int, int, int], tuple[Path, int]] = {}

    def glance(self, url: str, filename: str, digest: str) -> WheelFacts:
        """Facts as `glance` has them of the whole file; `digest` is the index's SHA-256, or empty.

        Raises what `glance` raises, PackageIndexError where the server does not answer, or where the
        bytes have another digest.
        """
        named_wheel(Path(filename))
        path = self._folder / str(len(list(self._folder.iterdir()))) / filename
        path.parent.mkdir()
        try:
            ranges = _Ranges(self._session, url, path)
            facts = self._read(ranges, path)
        except (_NoRangesError, MalformedWheelError):
            return self._whole(url, path, digest)
        self._count(ranges.fetched, ranges.size, ranges.requests)
        wheel = replace(facts.wheel, sha256=digest, size=ranges.size)
        return replace(facts, wheel=wheel)

    def _read(self, ranges: _Ranges, path: Path) -> WheelFacts:
        ranges.directory()
        with Archive(path) as archive:
            self._fill(ranges, archive)
            return read_wheel(named_wheel(path), verify=False)

    def _fill(self, ranges: _Ranges, archive: Archive) -> None:
        """Fetch the files that will be read, or copy them from a wheel that has the same ones."""
        names = files_of_a_glance(archive)
        infos = [name for name in names if name.partition("/")[0].endswith(".dist-info")]
        ranges.fetch(archive.extent(name) for name in infos)
        record = read_distinfo(archive, named_wheel(archive.path)).record
        missing: list[_Span] = []
        for name in names:
            row, entry, span = record.get(name), archive.files[name], archive.extent(name)
            if row is None or row.algorithm != "sha256":
                missing.append(span)
                continue
            key = (row.digest, entry.CRC, entry.compress_type, entry.compress_size)
            if key in self._known:
                ranges.copy(span, *self._known[key])
            else:
                missing.append(span)
                self._known[key] = archive.path, span[0]
        ranges.fetch(missing)

    def _whole(self, url: str, path: Path, digest: str) -> WheelFacts:
        """Download a wheel and read it; what the index says of its digest is compared."""
        state, size = sha256(), 0
        self._known = {key: at for key, at in self._known.items() if at[0] != path}
        with _asked(self._session, url, {}) as answer, path.open("wb") as file:
            for piece in _pieces(answer, url):
                state.update(piece)
                size += len(piece)
                file.write(piece)
        if digest and state.hexdigest() != digest.lower():
            raise PackageIndexError(
                f"{path.name}: another file than the index says",
                why=f"its SHA-256 is {state.hexdigest()}, the index says {digest}",
                remedy="a mirror or proxy may have changed it: ask the index itself, or its keeper",
            )
        self._count(size, size, 1, path.name)
        return glance(path)

    def _count(self, fetched: int, size: int, asked: int, *whole: str) -> None:
        before = self.transfer
        self.transfer = Transfer(
            fetched=before.fetched + fetched,
            size=before.size + size,
            requests=before.requests + asked,
            whole=(*before.whole, *whole),
        )


class _Ranges:
    """One file on a server, and what is here of it: `spans` are held, sorted and apart."""

    def __init__(self, session: requests.Session, url: str, path: Path) -> None:
        self.fetched = self.requests = 0
        self._session, self._url, self._path = session, url, path
        self._held: list[_Span] = []
        data, start, self.size = self._ask(f"bytes=-{TAIL}")
        path.touch()
        os.truncate(path, self.size)
        self._write(data, start)

    def directory(self) -> None:
        """Fetch the directory, all headers and the beginnings of all files.

        Raises MalformedWheelError where the directory is damaged.
        """
        with self._path.open("rb") as file:
            try:
                directory = find_directory(file.fileno(), self.size)
                self.fetch([(directory.start, self.size)])
                entries = sorted(read_entries(file.fileno(), directory), key=lambda one: one.offset)
            except (LayoutError, struct.error, OSError) as error:
                raise MalformedWheelError(f"{self._path.name}: not a zip archive") from error
        ends = [*(entry.offset for entry in entries[1:]), directory.start]
        spans: list[_Span] = []
        for entry, end in zip(entries, ends, strict=False):
            head = entry.offset + _HEADER + len(entry.name) + PEEK
            spans += [(entry.offset, min(head, end)), (max(end - _DESCRIPTOR, 0), end)]
        self.fetch(spans)

    def fetch(self, spans: Iterable[_Span]) -> None:
        """Fetch what is not here of these spans, near ones by one request."""
        wanted = list(_joined(self._missing(spans)))
        if not wanted:
            return
        with ThreadPoolExecutor(min(AT_ONCE, len(wanted)), "ranges") as executor:
            for data, start, size in executor.map(self._part, wanted):
                if size != self.size:
                    raise PackageIndexError(f"{self._path.name}: it changed while it was read")
                self._write(data, start)

    def copy(self, span: _Span, source: Path, start: int) -> None:
        """Take a span's bytes from another file on disk."""
        with source.open("rb") as file:
            self._write(os.pread(file.fileno(), span[1] - span[0], start), span[0])

    def _missing(self, spans: Iterable[_Span]) -> Iterator[_Span]:
        for begin, end in _joined(spans, near=0):
            place = begin
            for low, high in self._held:
                if place < low < end:
                    yield place, low
                if low < end:
                    place = max(place, high)
            if place < min(end, self.size):
                yield place, min(end, self.size)

    def _write(self, data: bytes, start: int) -> None:
        with self._path.open("r+b") as file:
            os.pwrite(file.fileno(), data, start)
        self._held = list(_joined([*self._held, (start, start + len(data))], near=0))

    def _part(self, span: _Span) -> tuple[bytes, int, int]:
        data, start, size = self._ask(f"bytes={span[0]}-{span[1] - 1}")
        if (start, len(data)) != (span[0], span[1] - span[0]):
            raise PackageIndexError(f"{self._path.name}: the server sent another part than asked for")
        return data, start, size

    def _ask(self, wanted: str) -> tuple[bytes, int, int]:
        """The bytes of a range, where they begin, and the whole file's size."""
        with _asked(self._session, self._url, {"Range": wanted}) as answer:
            stated = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status_code in _NO_RANGES or stated is None:
                raise _NoRangesError
            data = b"".join(_pieces(answer, self._url))
        self.fetched += len(data)
        self.requests += 1
        return data, int(stated[1]), int(stated[3])


def _joined(spans: Iterable[_Span], near: int = NEAR) -> Iterator[_Span]:
    """Spans in order, those one with less than `near` bytes between them."""
    whole: _Span | None = None
    for begin, end in sorted(spans):
        if whole is not None and begin <= whole[1] + near:
            whole = whole[0], max(whole[1], end)
            continue
        if whole is not None:
            yield whole
        whole = begin, end
    if whole is not None:
        yield whole


def _asked(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    """The answer to a request, its body not yet read; raises PackageIndexError in one line."""
    try:
        answer = session.get(url, headers=headers, timeout=TIMEOUT, stream=True)
    except requests.RequestException as error:
        raise _failed(url, _cause(error)) from error
    if answer.status_code in (401, 403):
        answer.close()
        remedy = "give the index's address with user and password, or a line in .netrc"
        raise _failed(url, f"{answer.status_code} {answer.reason}", remedy)
    if answer.status_code >= 400 and not (headers and answer.status_code in _NO_RANGES):  # noqa: PLR2004
        answer.close()
        raise _failed(url, f"{answer.status_code} {answer.reason}")
    return answer


def _pieces(answer: requests.Response, url: str) -> Iterator[bytes]:
    try:
        yield from answer.iter_content(_CHUNK)
    except requests.RequestException as error:
        raise _failed(url, _cause(error)) from error


def _cause(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, requests.TooManyRedirects):
        return "it redirects without end"
    return re.sub(r"(?<=://)[^/\s@]+@", "****@", str(error))


def _failed(url: str, why: str, remedy: str = "") -> PackageIndexError:
    shown = re.sub(r"(?<=://)[^/\s@]+@", "****@", url)
    return PackageIndexError(f"{shown} cannot be read", why=why, remedy=remedy)
