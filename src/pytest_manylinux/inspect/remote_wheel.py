"""Wheels on a server, read by HTTP range requests (RFC 9110, section 14) instead of as a whole.

A file of the wheel's size, all holes, is filled where reading will look: the directory at its end, the
headers, the beginnings of all files, then whole files that facts are made of. It is read by the code
that reads wheels on disk, so that the facts are the same. What several wheels of a release have in
common, by RECORD's digests, is fetched once. Where anything in it looks wrong, and where a server gives
no ranges, the whole file is downloaded: errors are those of whole files.

ELF files are fetched whole. The names and places of their sections stand at their end, a deflated file
can only be unpacked from its beginning, and facts are made of its code and constants too.
"""

from __future__ import annotations

import os
import re
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from pytest_manylinux.errors import MalformedWheelError, PackageIndexError
from pytest_manylinux.host.shutdown import Closeable
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
"""Requests for ranges at a time, of all wheels together."""

WHEELS_AT_ONCE = 4
"""Wheels that are read at a time: while one is unpacked, others wait for the server."""

_HEADER = 30 + 64  # a local header, and room for its extra fields
_DESCRIPTOR = 24  # bytes that may follow a file's data
_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_WHOLE = 200  # the answer of a server that ignores the range: all of the file
_NO_RANGES = (_WHOLE, 416, 501)  # answers to a range at the end of a file from servers without ranges
_Span = tuple[int, int]
_Content = tuple[bytes, int, int, int]  # RECORD's digest, checksum, method and size in the archive
_Place = Future[tuple[Path, int] | None]  # where a file's bytes lie; None if they could not be fetched


class _NoRangesError(Exception):
    """The server does not give parts of files. `answer` is the whole file, where it sent that."""

    def __init__(self, answer: requests.Response | None = None) -> None:
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What reading has cost: bytes fetched, bytes of all files, requests, files downloaded whole."""

    fetched: int = 0
    size: int = 0
    requests: int = 0
    whole: tuple[str, ...] = ()


class _Connection:
    """Asks for files, by whichever thread, and counts what it gets."""

    def __init__(self, session: requests.Session) -> None:
        self.transfer = Transfer()
        self._session = session
        self._lock = Lock()
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=AT_ONCE + WHEELS_AT_ONCE))

    def ask(self, url: str, headers: dict[str, str]) -> requests.Response:
        """The answer to a request, its body not yet read; raises PackageIndexError in one line."""
        self._count(asked=1)
        try:
            answer = self._session.get(url, headers=headers, timeout=TIMEOUT, stream=True)
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

    def pieces(self, answer: requests.Response, url: str) -> Iterator[bytes]:
        """The body of an answer; raises PackageIndexError where it ends early."""
        try:
            for piece in answer.iter_content(_CHUNK):
                self._count(fetched=len(piece))
                yield piece
        except requests.RequestException as error:
            raise _failed(url, _cause(error)) from error

    def read(self, size: int, *whole: str) -> None:
        """Count a file that was read, of so many bytes, with its name if it was downloaded whole."""
        self._count(size=size, whole=whole)

    def _count(
        self, *, fetched: int = 0, size: int = 0, asked: int = 0, whole: tuple[str, ...] = ()
    ) -> None:
        with self._lock:
            before = self.transfer
            self.transfer = Transfer(
                fetched=before.fetched + fetched,
                size=before.size + size,
                requests=before.requests + asked,
                whole=(*before.whole, *whole),
            )


@dataclass(slots=True)
class _Host:
    """What is known of a server. The first request to it is one alone, which finds it out."""

    lock: Lock = field(default_factory=Lock)
    asked: bool = False
    refuses_ranges: bool = False


class _SharedFiles:
    """Where files lie that several wheels have. One wheel fetches each, the others wait for it.

    A wheel waits only when it has fetched all that it claimed, so that no two wait for each other.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._places: dict[_Content, _Place] = {}

    def claim(self, content: _Content) -> _Place | None:
        """Where it lies or will lie; None if it is the caller's to fetch, who then keeps or fails."""
        with self._lock:
            known = self._places.get(content)
            if known is None:
                self._places[content] = Future()
            return known

    def keep(self, claims: Mapping[_Content, int], path: Path) -> None:
        """What was claimed lies in this file, from these offsets on."""
        with self._lock:
            for content, start in claims.items():
                self._places[content].set_result((path, start))

    def fail(self, claims: Iterable[_Content]) -> None:
        """What was claimed could not be fetched: wheels that wait for it fetch it themselves."""
        with self._lock:
            for content in claims:
                self._places.pop(content).set_result(None)

    def forget(self, path: Path) -> None:
        """Take no more from this wheel: something in it is wrong."""
        with self._lock:
            for content, place in list(self._places.items()):
                if place.done() and (found := place.result()) and found[0] == path:
                    del self._places[content]


class RemoteWheels(Closeable):
    """Reads wheels from servers; the caller removes `folder`, which parts of them are kept in."""

    def __init__(self, session: requests.Session, folder: Path) -> None:
        self._connection = _Connection(session)
        self._folder = folder
        self._numbers = count()
        self._lock = Lock()
        self._hosts: dict[str, _Host] = {}
        self._shared = _SharedFiles()
        self._wheels = ThreadPoolExecutor(WHEELS_AT_ONCE, "remote-wheel")
        self._requests = ThreadPoolExecutor(AT_ONCE, "ranges")

    def close(self) -> None:
        """Wait for what is under way; what was not begun is left."""
        for pool in (self._wheels, self._requests):
            pool.shutdown(cancel_futures=True)

    @property
    def transfer(self) -> Transfer:
        """What it has cost up to now."""
        return self._connection.transfer

    def read(self, files: Iterable[tuple[str, str, str]]) -> Iterator[WheelFacts]:
        """The facts of wheels, given as for `glance`, in their order; some are read at a time."""
        reading = deque[Future[WheelFacts]]()
        for file in files:
            reading.append(self._wheels.submit(self.glance, *file))
            if len(reading) == WHEELS_AT_ONCE:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()

    def glance(self, url: str, filename: str, digest: str) -> WheelFacts:
        """Facts as `glance` has them of the whole file; `digest` is the index's SHA-256, or empty.

        Raises what `glance` raises, PackageIndexError where the server does not answer, or where the
        bytes have another digest.
        """
        named_wheel(Path(filename))
        path = self._folder / str(next(self._numbers)) / filename
        path.parent.mkdir()
        try:
            ranges = self._begun(url, path)
            facts = self._read(ranges, path)
        except _NoRangesError as error:
            answer = error.answer or self._connection.ask(url, {})
        except MalformedWheelError:
            self._shared.forget(path)
            answer = self._connection.ask(url, {})
        else:
            self._connection.read(ranges.size)
            return replace(facts, wheel=replace(facts.wheel, sha256=digest, size=ranges.size))
        return self._whole(answer, url, path, digest)

    def _begun(self, url: str, path: Path) -> _Ranges:
        """The wheel with its end fetched; raises _NoRangesError, without a request if it is known."""
        with self._lock:
            host = self._hosts.setdefault(urlsplit(url).netloc, _Host())
        with host.lock:
            if host.refuses_ranges:
                raise _NoRangesError
            if not host.asked:
                return self._first(host, url, path)
        return _Ranges(self._connection, self._requests, url, path)

    def _first(self, host: _Host, url: str, path: Path) -> _Ranges:
        try:
            ranges = _Ranges(self._connection, self._requests, url, path)
        except _NoRangesError as error:
            # One that sends the file instead has cost nothing, and may give ranges of other files.
            host.refuses_ranges = error.answer is None
            raise
        host.asked = True
        return ranges

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
        own: list[_Span] = []
        others: list[tuple[_Span, _Place]] = []
        claims: dict[_Content, int] = {}
        try:
            for name in names:
                row, entry, span = record.get(name), archive.files[name], archive.extent(name)
                place = None
                if row is not None and row.algorithm == "sha256":
                    content = (row.digest, entry.CRC, entry.compress_type, entry.compress_size)
                    place = self._shared.claim(content)
                    if place is None:
                        claims[content] = span[0]
                own += [span] if place is None else []
                others += [] if place is None else [(span, place)]
            ranges.fetch(own)
        except BaseException:
            self._shared.fail(claims)
            raise
        self._shared.keep(claims, archive.path)
        self._take(ranges, others)

    def _take(self, ranges: _Ranges, others: Iterable[tuple[_Span, _Place]]) -> None:
        """Copy what other wheels have fetched; fetch what they could not."""
        missing: list[_Span] = []
        for span, place in others:
            found = place.result()
            if found is None:
                missing.append(span)
            else:
                ranges.copy(span, *found)
        ranges.fetch(missing)

    def _whole(self, answer: requests.Response, url: str, path: Path, digest: str) -> WheelFacts:
        """Read a wheel that comes whole; what the index says of its digest is compared."""
        state, size = sha256(), 0
        whole = path.parent / "whole" / path.name
        whole.parent.mkdir()
        with closing(answer), whole.open("wb") as file:
            for piece in self._connection.pieces(answer, url):
                state.update(piece)
                size += len(piece)
                file.write(piece)
        if digest and state.hexdigest() != digest.lower():
            raise PackageIndexError(
                f"{path.name}: another file than the index says",
                why=f"its SHA-256 is {state.hexdigest()}, the index says {digest}",
                remedy="a mirror or proxy may have changed it: ask the index itself, or its keeper",
            )
        self._connection.read(size, path.name)
        facts = glance(whole)
        whole.unlink()
        return facts


class _Ranges:
    """One file on a server, and what is here of it: `spans` are held, sorted and apart."""

    def __init__(
        self, connection: _Connection, requests: ThreadPoolExecutor, url: str, path: Path
    ) -> None:
        self._connection, self._requests = connection, requests
        self._url, self._path = url, path
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
        for data, start, size in self._requests.map(self._part, wanted):
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
        try:
            data, start, size = self._ask(f"bytes={span[0]}-{span[1] - 1}")
        except _NoRangesError as error:
            if error.answer is not None:
                error.answer.close()
            raise _NoRangesError from None
        if (start, len(data)) != (span[0], span[1] - span[0]):
            raise PackageIndexError(f"{self._path.name}: the server sent another part than asked for")
        return data, start, size

    def _ask(self, wanted: str) -> tuple[bytes, int, int]:
        """The bytes of a range, where they begin, and the whole file's size."""
        answer = self._connection.ask(self._url, {"Range": wanted})
        if answer.status_code == _WHOLE:
            raise _NoRangesError(answer)
        with closing(answer):
            stated = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status_code in _NO_RANGES or stated is None:
                raise _NoRangesError
            data = b"".join(self._connection.pieces(answer, self._url))
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


def _cause(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, requests.TooManyRedirects):
        return "it redirects without end"
    return re.sub(r"(?<=://)[^/\s@]+@", "****@", str(error))


def _failed(url: str, why: str, remedy: str = "") -> PackageIndexError:
    shown = re.sub(r"(?<=://)[^/\s@]+@", "****@", url)
    return PackageIndexError(f"{shown} cannot be read", why=why, remedy=remedy)
