"""Two wheels of one project, compared down to the member, and in ELF files to the section.

Both are read whole, a member at a time: members of up to MAX_MEMBER bytes are looked into.
"""

from __future__ import annotations

import csv
import io
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipInfo

from pytest_manylinux.cache.integrity import file_digest
from pytest_manylinux.inspect.elf import MAGIC, read_headers
from pytest_manylinux.inspect.zip_archive import METHODS, Archive

MAX_MEMBER = 256 * 1024**2
"""Bytes of a member that is looked into; of larger ones it is only told that they differ."""

Causes = tuple[tuple[str, tuple[bytes, ...]], ...]
"""What a differing text shows, and the texts that tell it."""

_AROUND = 60  # bytes of a text before and after the place where it differs
_SHOWN = 100  # characters of it
_TIME = re.compile(rb"(?<!\d)1\d{9}(?!\d)|\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d|[A-Z][a-z]{2} [ \d]\d \d{4}")
_OWN = (".note", ".comment", ".build-id", ".debug", ".rodata", ".data")
"""Sections whose bytes are not only addresses, which follow from what moved elsewhere."""
_READABLE = 4  # bytes of a text
_NOBITS = 8  # SHT_NOBITS: no bytes in the file
_NO_BYTES = frozenset({0, _NOBITS})


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelDifference:
    """One difference: the member (empty: the archive itself), the section of an ELF file, what it is.

    `cause` is what the differing bytes show, as far as they do; `text` tells that they can be read.
    """

    member: str
    what: str
    section: str = ""
    cause: str = ""
    text: bool = False

    def __str__(self) -> str:
        """`demo/_x.so, section .rodata: … (the path of the source)`."""
        place = ", section ".join(filter(None, (self.member or "the archive", self.section)))
        return f"{place}: {self.what}" + (f" ({self.cause})" if self.cause else "")


def wheel_differences(first: Path, second: Path, *, causes: Causes = ()) -> tuple[WheelDifference, ...]:
    """What differs between two wheels; empty only if they are the same, byte for byte.

    What follows from another difference, RECORD's digests, is left out. Raises MalformedWheelError.
    """
    found: list[WheelDifference] = []
    if first.name != second.name:
        found.append(WheelDifference(member="", what=f"it is called {first.name}, then {second.name}"))
    if file_digest(first) == file_digest(second):
        return tuple(found)
    with Archive(first) as one, Archive(second) as other:
        found += _Comparison(one, other, causes).differences()
    if not found:
        found.append(WheelDifference(member="", what="its members are packed otherwise"))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Comparison:
    one: Archive
    other: Archive
    causes: Causes

    def differences(self) -> Iterator[WheelDifference]:
        """Each difference, in the order of the first wheel's members."""
        common = [name for name in self.one.files if name in self.other.files]
        for name in self.one.files:
            if name not in self.other.files:
                yield WheelDifference(member=name, what="it is in the first wheel only")
        for name in self.other.files:
            if name not in self.one.files:
                yield WheelDifference(member=name, what="it is in the second wheel only")
        yield from self._order(common)
        for name in common:
            yield from self._entries(name)
            if self.one.files[name].CRC != self.other.files[name].CRC or self._sizes_differ(name):
                yield from self._contents(name)

    def _order(self, common: list[str]) -> Iterator[WheelDifference]:
        theirs = [name for name in self.other.files if name in self.one.files]
        if common != theirs:
            at = next(n for n, pair in enumerate(zip(common, theirs, strict=True)) if len({*pair}) > 1)
            what = f"its members are in another order: {common[at]}, then {theirs[at]} in its place"
            yield WheelDifference(member="", what=what, cause="the order of files in their folders")

    def _sizes_differ(self, name: str) -> bool:
        return self.one.files[name].file_size != self.other.files[name].file_size

    def _entries(self, name: str) -> Iterator[WheelDifference]:
        """What the archive says of a member: time, mode, method."""
        ours, theirs = self.one.files[name], self.other.files[name]
        if ours.date_time != theirs.date_time:
            what = f"its time is {_when(ours)}, then {_when(theirs)}"
            yield WheelDifference(member=name, what=what, cause="the time of the build")
        modes = [stat.S_IMODE(info.external_attr >> 16) for info in (ours, theirs)]
        if modes[0] != modes[1]:
            what = f"its mode is {modes[0]:#o}, then {modes[1]:#o}"
            yield WheelDifference(member=name, what=what, cause="the umask")
        if ours.compress_type != theirs.compress_type:
            what = f"it is {METHODS[ours.compress_type]}, then {METHODS[theirs.compress_type]}"
            yield WheelDifference(member=name, what=what)

    def _contents(self, name: str) -> Iterator[WheelDifference]:
        if max(self.one.files[name].file_size, self.other.files[name].file_size) > MAX_MEMBER:
            yield WheelDifference(member=name, what="its contents differ; it is too large to look into")
            return
        ours = self.one.read(name, limit=MAX_MEMBER)
        theirs = self.other.read(name, limit=MAX_MEMBER)
        if ours == theirs:
            return
        if name.endswith(".dist-info/RECORD"):
            yield from _record(name, ours, theirs)
        elif ours.startswith(MAGIC) and theirs.startswith(MAGIC):
            yield from self._sections(name, ours, theirs)
        else:
            yield self._difference(name, ours, theirs)

    def _sections(self, name: str, ours: bytes, theirs: bytes) -> Iterator[WheelDifference]:
        """The sections of an ELF file that differ; of all others the place is all that is known."""
        first, second = _sections(ours), _sections(theirs)
        told, moved = list[WheelDifference](), list[WheelDifference]()
        for section in dict.fromkeys((*first, *second)) if first and second else ():
            if section not in first or section not in second:
                which = "first" if section in first else "second"
                what = f"it is in the {which} wheel only"
                told.append(WheelDifference(member=name, section=section, what=what))
            elif first[section] != second[section]:
                found = self._difference(name, first[section], second[section], section=section)
                (told if found.text or section.startswith(_OWN) else moved).append(found)
        if told and moved:
            what = "addresses in them differ, as what they lead to has moved or is another"
            yield from told
            yield WheelDifference(
                member=name, section=", ".join(one.section for one in moved), what=what
            )
        else:
            yield from told or moved or [self._difference(name, ours, theirs)]

    def _difference(
        self, name: str, ours: bytes, theirs: bytes, *, section: str = ""
    ) -> WheelDifference:
        at = next(
            (n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
            min(len(ours), len(theirs)),
        )
        around = [_around(data, at) for data in (ours, theirs)]
        text = all(_is_text(text) for text in around)
        if text:
            what = f"{_shown(around[0])}, then {_shown(around[1])}"
        elif len(ours) != len(theirs):
            what = f"{len(ours)} bytes, then {len(theirs)}; the first other one is at {at:#x}"
        else:
            count = sum(a != b for a, b in zip(ours, theirs, strict=True))
            what = f"{count} of {len(ours)} bytes differ, the first at {at:#x}"
        cause = self._cause(ours, theirs)
        return WheelDifference(member=name, section=section, what=what, cause=cause, text=text)

    def _cause(self, ours: bytes, theirs: bytes) -> str:
        """What the texts show that are in one of the two alone."""
        found = [
            cause
            for cause, texts in self.causes
            if any((text in ours) != (text in theirs) for text in texts)
        ]
        if set(_TIME.findall(ours)) != set(_TIME.findall(theirs)):
            found.append("the time of the build")
        return ", ".join(found)


def _sections(data: bytes) -> dict[str, bytes]:
    """The bytes of each named section; of names that occur twice the sections together."""
    try:
        headers = read_headers(data)
    except Exception:  # noqa: BLE001 - a damaged file is compared as bytes
        return {}
    found: dict[str, bytes] = {}
    for section in headers.sections:
        if section.name and section.kind not in _NO_BYTES:
            content = data[section.offset : section.offset + section.size]
            found[section.name] = found.get(section.name, b"") + content
    return found


def _record(name: str, ours: bytes, theirs: bytes) -> Iterator[WheelDifference]:
    """Rows in another order; other digests follow from other files, which are told themselves."""
    orders = [
        [row[0] for row in csv.reader(io.StringIO(data.decode("utf-8", "replace"))) if row]
        for data in (ours, theirs)
    ]
    if orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]):
        at = next(n for n, pair in enumerate(zip(*orders, strict=True)) if len({*pair}) > 1)
        what = f"its rows are in another order, from row {at + 1} on: {orders[0][at]}, {orders[1][at]}"
        yield WheelDifference(member=name, what=what, cause="the order of files in their folders")


def _when(info: ZipInfo) -> str:
    year, month, day, hour, minute, second = info.date_time
    return f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"


def _around(data: bytes, at: int) -> bytes:
    """The line or C string around a place."""
    start = max(data.rfind(mark, max(0, at - _AROUND), at) for mark in (b"\0", b"\n")) + 1
    start = max(start, at - _AROUND)
    ends = [end for mark in (b"\0", b"\n") if (end := data.find(mark, at, at + _AROUND)) >= 0]
    return data[start : min(ends, default=at + _AROUND)]


def _is_text(data: bytes) -> bool:
    try:
        return len(data) >= _READABLE and data.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _shown(text: bytes) -> str:
    words = text.decode("utf-8").strip()
    return repr(words[:_SHOWN] + ("…" if len(words) > _SHOWN else ""))
