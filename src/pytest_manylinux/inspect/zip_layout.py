"""The layout of a zip file: whether every reader finds the same files in it.

A zip file says most things twice: in a header before each file's data and in the directory at its end,
in fields of 32 bits and in ZIP64's of 64. Some readers believe the one, some the other, some read from
the front and some from the back. So a wheel is read only if both agree and nothing lies between the
parts: files from the first byte on, one after the other, then the directory, then its end.

Rules: the zip specification (APPNOTE 4.3 and 4.5.3), Info-ZIP's Unicode Path extra field (4.6.9), and
what PyPI refuses since August 2025 for the same reason (its post on ZIP parser confusion attacks).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LOCAL_MAGIC, ENTRY_MAGIC, END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END64_MAGIC, LOCATOR_MAGIC, DESCRIPTOR_MAGIC = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
UTF8 = 0x800
"""The flag for names in UTF-8 (APPNOTE 4.4.4, bit 11)."""

_DESCRIPTOR = 0x8  # sizes and checksum stand after the data (bit 3)
_COMPARED = 0x2869  # bits 0, 3, 5, 6, 11, 13; others are hints on how it was packed
_REFUSED = {0x20: "is patched data", 0x40: "is encrypted", 0x2000: "hides its header"}
_LOCAL = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_MAX_COMMENT = 0xFFFF
END_SIZE = _MAX_COMMENT + _END.size + _LOCATOR.size
"""Bytes at a file's end in which the end of the directory must lie."""

_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_AHEAD = 64  # bytes read after a local header's fixed part and name: most extra fields fit


class LayoutError(ValueError):
    """Readers would disagree; `what` says about what, `why` how so."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what = what
        self.why = why


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as the directory has it, ZIP64 resolved; `name` as bytes, `offset` of its own header."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the directory begins, its bytes, and how many entries it has."""

    start: int
    size: int
    count: int


def read_layout(descriptor: int, size: int) -> tuple[tuple[Entry, ...], Mapping[int, int]]:
    """The directory's entries in its order, and where the data of each begins, by its offset.

    `descriptor` is of an open file of `size` bytes. Raises LayoutError where readers would disagree,
    OSError where the file cannot be read.
    """
    directory = find_directory(descriptor, size)
    entries = tuple(read_entries(descriptor, directory))
    starts: dict[int, int] = {}
    place = 0
    in_place = sorted(entries, key=lambda entry: entry.offset)
    for number, entry in enumerate(in_place):
        if entry.offset != place:
            raise _gap(entry, place)
        last = number + 1 == len(in_place)
        limit = directory.start if last else in_place[number + 1].offset
        starts[entry.offset] = start = _data_start(descriptor, entry)
        place = _data_end(descriptor, entry, start, limit)
    if place != directory.start:
        raise LayoutError(
            "bytes that belong to no file", f"{directory.start - place} before its directory"
        )
    return entries, starts


def _gap(entry: Entry, place: int) -> LayoutError:
    if entry.offset < place:
        return LayoutError("entries overlap", f"{_shown(entry)} begins inside the one before it")
    before = "before its first file" if place == 0 else f"before {_shown(entry)}"
    return LayoutError("bytes that belong to no file", f"{entry.offset - place} {before}")


def _shown(entry: Entry) -> str:
    return ascii(entry.name.decode("utf-8", "backslashreplace"))


def find_directory(descriptor: int, size: int) -> Directory:
    """Where the directory lies, once its end is found at the file's very end, and no second one.

    Reads END_SIZE bytes at the file's end at most. Raises as read_layout.
    """
    tail_start = max(size - END_SIZE, 0)
    tail = os.pread(descriptor, size - tail_start, tail_start)
    place = tail.rfind(END_MAGIC)
    while place >= 0 and not _ends(tail, place):
        place = tail.rfind(END_MAGIC, 0, place + len(END_MAGIC) - 1)
    if place < 0:
        raise LayoutError("its end is not where the file ends", "bytes follow the end of its directory")
    if b"PK" in tail[place + _END.size :]:
        raise LayoutError("a comment that looks like a part of it", "it holds the letters PK")
    stated: tuple[int, ...] = _END.unpack_from(tail, place)[1:7]
    end = tail_start + place
    if tail[max(place - _LOCATOR.size, 0) : place].startswith(LOCATOR_MAGIC):
        end, stated = _end64(descriptor, end - _LOCATOR.size, stated)
    disk, first, here, count, length, start = stated
    if disk or first or here != count:
        raise LayoutError("a part of several", f"disk {disk}, {here} of {count} entries")
    if start + length != end:
        why = f"its end says from byte {start} to {start + length}, but itself begins at {end}"
        raise LayoutError("its directory is not where its end says", why)
    return Directory(start, length, count)


def _ends(tail: bytes, place: int) -> bool:
    """Whether the end of a directory at this place, comment included, ends where the file does."""
    if place + _END.size > len(tail):
        return False
    (comment,) = struct.unpack_from("<H", tail, place + _END.size - 2)
    return bool(place + _END.size + comment == len(tail))


def _end64(descriptor: int, locator: int, stated: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Where ZIP64's end of the directory begins, and what it says, if the other says the same."""
    _, disk, place, disks = _LOCATOR.unpack(os.pread(descriptor, _LOCATOR.size, locator))
    data = os.pread(descriptor, _END64.size, place)
    if disk or disks > 1 or place + _END64.size > locator or not data.startswith(END64_MAGIC):
        raise LayoutError("its ZIP64 end is not where its locator says", f"byte {place}")
    _, length, _, _, *found = _END64.unpack(data)
    if place + 12 + length != locator:
        why = f"it ends at byte {place + 12 + length}, the locator is at {locator}"
        raise LayoutError("its ZIP64 end is not where its locator says", why)
    limits = (_FULL16,) * 4 + (_FULL32,) * 2
    for mine, theirs, limit in zip(stated, found, limits, strict=True):
        if mine not in {theirs, limit}:
            raise LayoutError("two ends that disagree", f"{mine} in the one, {theirs} in ZIP64's")
    return place, tuple(found)


def read_entries(descriptor: int, directory: Directory) -> Iterator[Entry]:
    """The directory's entries in its order; raises as read_layout."""
    data = os.pread(descriptor, directory.size, directory.start)
    place = 0
    for number in range(directory.count):
        if data[place : place + 4] != ENTRY_MAGIC or place + _ENTRY.size > len(data):
            why = f"{number} entries, its end says {directory.count}"
            raise LayoutError("its directory has another length than its end says", why)
        fields = _ENTRY.unpack_from(data, place)
        name_end = place + _ENTRY.size + fields[10]
        extra_end = name_end + fields[11]
        yield _entry(fields, data[place + _ENTRY.size : name_end], data[name_end:extra_end])
        place = extra_end + fields[12]
    if place != len(data):
        why = f"{len(data) - place} bytes are left after {directory.count} entries"
        raise LayoutError("its directory has another length than its end says", why)


def _entry(fields: tuple[int, ...], name: bytes, extra: bytes) -> Entry:
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    disk, offset = fields[13], fields[16]
    shown = ascii(name.decode("utf-8", "backslashreplace"))
    for bit, words in _REFUSED.items():
        if flags & bit:
            raise LayoutError(f"{shown} {words}", "installers cannot unpack it")
    if not flags & UTF8 and not name.isascii():
        why = "it is neither ASCII nor marked as UTF-8 (bit 11): each reader guesses its encoding"
        raise LayoutError(f"the name {shown} in it is read in several ways", why)
    if extra:
        found = _fields(extra, name, shown)
        if _ZIP64 in found:
            size, packed, offset, disk = _wide(found[_ZIP64], (size, packed, offset), disk, shown)
    if disk:
        raise LayoutError("a part of several", f"{shown} is on disk {disk}")
    return Entry(name, flags, method, crc, packed, size, offset)


def _fields(extra: bytes, name: bytes, shown: str) -> dict[int, bytes]:
    """An extra field's parts by their kinds; another name among them is refused."""
    found: dict[int, bytes] = {}
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        content = extra[place + 4 : place + 4 + length]
        if len(content) < length:
            raise LayoutError(
                f"the extra field of {shown} is damaged", f"kind {kind:#06x} is cut short"
            )
        if kind in found and kind in {_ZIP64, _UNICODE_PATH}:
            raise LayoutError(f"{shown} has an extra field twice", f"kind {kind:#06x}")
        found[kind] = content
        place += 4 + length
    if any(extra[place:]):
        raise LayoutError(
            f"the extra field of {shown} is damaged", f"{len(extra) - place} bytes are left"
        )
    if found.get(_UNICODE_PATH, b"\1\0\0\0\0" + name)[5:] != name:
        other = ascii(found[_UNICODE_PATH][5:].decode("utf-8", "backslashreplace"))
        why = f"its Unicode Path field (0x7075) says {other}, which some readers take and some do not"
        raise LayoutError(f"the name {shown} in it is read in several ways", why)
    return found


def _wide(
    content: bytes, values: tuple[int, int, int], disk: int, shown: str
) -> tuple[int, int, int, int]:
    """Size, packed size, offset and disk with ZIP64's numbers in the places that are full.

    Readers differ on what else stands there; so nothing may, but the same numbers once more.
    """
    full = [place for place, value in enumerate(values) if value == _FULL32]
    wanted = 8 * len(full) + (4 if disk == _FULL16 else 0)
    count = len(content) // 8
    numbers = struct.unpack_from(f"<{count}Q", content)
    if full and len(content) == wanted:
        found = list(values)
        for place, number in zip(full, numbers, strict=False):
            found[place] = number
        last = int.from_bytes(content[-4:], "little") if disk == _FULL16 else disk
        return found[0], found[1], found[2], last
    if full or numbers != values[:count] or len(content) % 8:
        why = f"{len(content)} bytes of ZIP64 numbers where {wanted} are called for"
        raise LayoutError(f"the size of {shown} is read in several ways", why)
    return (*values, disk)


def _data_start(descriptor: int, entry: Entry) -> int:
    """Where a file's data begins, once its own header is seen to say what the directory says."""
    length = _LOCAL.size + len(entry.name)
    head = os.pread(descriptor, length + _AHEAD, entry.offset)
    if not head.startswith(LOCAL_MAGIC) or len(head) < _LOCAL.size:
        raise LayoutError(f"{_shown(entry)} has no header of its own", f"at byte {entry.offset}")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack_from(head)
    if name_length != len(entry.name) or head[_LOCAL.size : length] != entry.name:
        other = ascii(head[_LOCAL.size : _LOCAL.size + name_length].decode("utf-8", "backslashreplace"))
        raise _differs(entry, "name", other)
    if extra_length:
        if extra_length > _AHEAD:
            head = os.pread(descriptor, length + extra_length, entry.offset)
        found = _fields(head[length : length + extra_length], entry.name, _shown(entry))
        if _ZIP64 in found:
            size, packed, *_ = _wide(found[_ZIP64], (size, packed, 0), 0, _shown(entry))
    if (flags ^ entry.flags) & _COMPARED:
        raise _differs(entry, "flags", f"{flags:#06x}")
    if method != entry.method:
        raise _differs(entry, "method", str(method))
    later = flags & _DESCRIPTOR and not (crc or packed or size)
    if not later and (crc, packed, size) != (entry.crc, entry.packed, entry.size):
        raise _differs(entry, "size or checksum", f"{packed} bytes of {size}, {crc:08x}")
    return entry.offset + length + int(extra_length)


def _differs(entry: Entry, what: str, found: str) -> LayoutError:
    why = f"{found} in its own header, which some readers take instead"
    return LayoutError(f"{_shown(entry)} has another {what} in the archive's directory", why)


def _data_end(descriptor: int, entry: Entry, start: int, limit: int) -> int:
    """Where a file ends, its descriptor included; `limit` is where the next thing begins."""
    end = start + entry.packed
    if not entry.flags & _DESCRIPTOR:
        return end
    if entry.method == 0 and entry.packed:
        why = "stored, with its size after the data: read from the front, its end can only be guessed"
        raise LayoutError(f"the size of {_shown(entry)} is read in several ways", why)
    found = os.pread(descriptor, max(min(limit - end, 24), 0), end)
    for form in ("<3I", "<I2Q"):
        plain = struct.pack(form, *_narrow(form, entry))
        if found in {plain, DESCRIPTOR_MAGIC + plain} and limit - end == len(found):
            return limit
    raise _differs(entry, "size or checksum", f"{found.hex()} after its data")


def _narrow(form: str, entry: Entry) -> tuple[int, int, int]:
    mask = _FULL32 if form == "<3I" else (1 << 64) - 1
    return entry.crc, entry.packed & mask, entry.size & mask
