"""Wheels whose zip file is read in several ways, and odd ones that are not.

Each case is a function from the parts of a sound wheel to the bytes of another. In most of them a
second reader, one that believes local headers say, or reads from the front, finds other files.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wheels import build_wheel

FULL = 0xFFFFFFFF
EVIL = b"print('evil')\n"
UTF8, LATER = 0x800, 0x8


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file: its data, and what its two headers say otherwise than they should."""

    name: bytes
    data: bytes
    stored: bool = False
    flags: int = 0
    local: Mapping[str, int | bytes] = field(default_factory=dict)
    central: Mapping[str, int | bytes] = field(default_factory=dict)
    descriptor: bytes = b""
    before: bytes = b""
    junk: bytes = b""

    @property
    def packed(self) -> bytes:
        if self.stored:
            return self.data + self.junk
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.data) + packer.flush() + self.junk

    def header(self, changes: Mapping[str, int | bytes], offset: int | None = None) -> bytes:
        """The local header, or with an offset the directory's."""
        later = offset is None and self.flags & LATER
        said: dict[str, int | bytes] = {
            "name": self.name,
            "flags": self.flags,
            "method": 0 if self.stored else 8,
            "crc": 0 if later else zlib.crc32(self.data),
            "packed": 0 if later else len(self.packed),
            "size": 0 if later else len(self.data),
            "extra": b"",
            "disk": 0,
            "offset": offset or 0,
            "mode": 0o100644,
        }
        said.update(changes)
        name, extra = bytes(said["name"]), bytes(said["extra"])
        words = (said["flags"], said["method"], 0, 0x5021, said["crc"], said["packed"], said["size"])
        if offset is None:
            return struct.pack("<4s5H3I2H", b"PK\3\4", 20, *words, len(name), len(extra)) + name + extra
        rest = (len(name), len(extra), 0, said["disk"], 0, int(said["mode"]) << 16, said["offset"])
        return struct.pack("<4s6H3I5H2I", b"PK\1\2", 0x314, 20, *words, *rest) + name + extra


def zipped(
    parts: Sequence[Part],
    *,
    prefix: bytes = b"",
    gap: bytes = b"",
    extra_entries: bytes = b"",
    comment: bytes = b"",
    end: Mapping[str, int] = {},
    wide: Mapping[str, int] | None = None,
) -> bytes:
    """A zip file of these parts; `end` replaces what its end says, `wide` adds ZIP64's end."""
    out, directory = bytearray(prefix), bytearray()
    for part in parts:
        out += part.before
        directory += part.header(part.central, len(out))
        out += part.header(part.local) + part.packed + part.descriptor
    out += gap
    directory += extra_entries
    said = {"disk": 0, "first": 0, "here": len(parts), "count": len(parts)}
    said |= {"length": len(directory), "start": len(out)}
    out += directory
    if wide is not None:
        own = {**said, "place": len(out), "disks": 1, **wide}
        numbers = [own[key] for key in ("disk", "first", "here", "count", "length", "start")]
        out += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, *numbers)
        out += struct.pack("<4sIQI", b"PK\6\7", 0, own["place"], own["disks"])
    words = [{**said, **end}[key] for key in ("disk", "first", "here", "count", "length", "start")]
    return bytes(out) + struct.pack("<4s4H2IH", b"PK\5\6", *words, len(comment)) + comment


def parts_of(folder: Path, files: Mapping[str, str | bytes]) -> list[Part]:
    """The parts of a sound wheel `demo 1.0` with these files; the first is `demo/__init__.py`."""
    path = build_wheel(folder, {"demo/__init__.py": "print('fine')\n", **files})
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return [
            Part(name=name.encode(), data=archive.read(name), flags=0 if name.isascii() else UTF8)
            for name in names
        ]


def extra(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def unicode_path(name: bytes, other: bytes) -> bytes:
    return extra(0x7075, b"\1" + struct.pack("<I", zlib.crc32(name)) + other)


def first(parts: Sequence[Part], **changes: object) -> list[Part]:
    return [replace(parts[0], **changes), *parts[1:]]  # type: ignore[arg-type]


def numbers(*values: int) -> bytes:
    return extra(1, struct.pack(f"<{len(values)}Q", *values))


def descriptor(part: Part, form: str = "<3I", **wrong: int) -> bytes:
    said = {"crc": zlib.crc32(part.data), "packed": len(part.packed), "size": len(part.data), **wrong}
    return struct.pack(form, *said.values())


def hidden(parts: Sequence[Part]) -> bytes:
    """A whole local entry of another `demo/__init__.py`, which no directory lists."""
    evil = Part(name=parts[0].name, data=EVIL)
    return evil.header({}) + evil.packed


def other(parts: Sequence[Part]) -> bytes:
    """A whole zip file with another `demo/__init__.py`."""
    return zipped(first(parts, data=EVIL))


def with_later(parts: Sequence[Part], form: str = "<3I", mark: bytes = b"", **wrong: int) -> bytes:
    later = [replace(part, flags=part.flags | LATER) for part in parts]
    return zipped([replace(p, descriptor=mark + descriptor(p, form, **wrong)) for p in later])


Make = Callable[[Sequence[Part]], bytes]
NAME, EVIL_NAME = b"demo/__init__.py", b"demo/__main__.py"

CONFUSING: dict[str, tuple[str, Make]] = {
    "a Unicode path in the directory": (
        "read in several ways",
        lambda p: zipped(first(p, central={"extra": unicode_path(NAME, EVIL_NAME)})),
    ),
    "a Unicode path in its own header": (
        "read in several ways",
        lambda p: zipped(first(p, local={"extra": unicode_path(NAME, EVIL_NAME)})),
    ),
    "a Unicode path behind another": (
        "twice",
        lambda p: zipped(
            first(p, central={"extra": unicode_path(NAME, NAME) + unicode_path(NAME, EVIL_NAME)})
        ),
    ),
    "another name in its own header": (
        "another name",
        lambda p: zipped(first(p, local={"name": EVIL_NAME})),
    ),
    "a shorter name in its own header": (
        "another name",
        lambda p: zipped(first(p, local={"name": b"demo.py"})),
    ),
    "a name that is marked as UTF-8 once": (
        "another flags",
        lambda p: zipped(first(p, local={"flags": UTF8})),
    ),
    "a name that nobody knows the encoding of": (
        "read in several ways",
        lambda p: zipped([*p, Part(name="demo/ä.py".encode(), data=b"")]),
    ),
    "another method": ("another method", lambda p: zipped(first(p, local={"method": 0}))),
    "another size": ("another size", lambda p: zipped(first(p, local={"size": 3}))),
    "another packed size": ("another size", lambda p: zipped(first(p, local={"packed": 3}))),
    "another checksum": ("another size or checksum", lambda p: zipped(first(p, local={"crc": 1}))),
    "a size that is full without ZIP64": (
        "another size",
        lambda p: zipped(first(p, local={"size": FULL, "packed": FULL})),
    ),
    "a ZIP64 twin in the directory": (
        "read in several ways",
        lambda p: zipped(first(p, central={"extra": numbers(7, 7)})),
    ),
    "a ZIP64 twin in its own header": (
        "read in several ways",
        lambda p: zipped(first(p, local={"extra": numbers(7, 7)})),
    ),
    "ZIP64 numbers that are too many": (
        "read in several ways",
        lambda p: zipped(
            first(p, central={"size": FULL, "extra": numbers(len(p[0].data), len(p[0].packed))})
        ),
    ),
    "ZIP64 numbers twice": (
        "twice",
        lambda p: zipped(
            first(
                p,
                central={"size": FULL, "extra": numbers(len(p[0].data)) + numbers(len(p[0].data) + 1)},
            )
        ),
    ),
    "an extra field that is cut short": (
        "is damaged|not a zip archive",
        lambda p: zipped(first(p, central={"extra": extra(1, bytes(8))[:-3]})),
    ),
    "ZIP64's end disagrees": ("two ends", lambda p: zipped(p, wide={"count": len(p) - 1})),
    "ZIP64's end lies elsewhere": (
        "ZIP64 end is not where",
        lambda p: zipped(p, wide={"place": 0}),
    ),
    "ZIP64's locator counts two disks": (
        "ZIP64 end|not a zip archive",
        lambda p: zipped(p, wide={"disks": 2}),
    ),
    "bytes before": ("directory is not where", lambda p: b"#!/bin/sh\n" + zipped(p)),
    "bytes before, and offsets that fit": (
        "belong to no file",
        lambda p: zipped(p, prefix=b"#!/bin/sh\n"),
    ),
    "a zip file before": ("directory is not where", lambda p: other(p) + zipped(p)),
    "a zip file before, and offsets that fit": (
        "belong to no file",
        lambda p: zipped(p, prefix=other(p)),
    ),
    "bytes behind": ("not a zip archive|end is not where", lambda p: zipped(p) + b"\n"),
    "a zip file in the comment": (
        "looks like a part|directory is not where|read in several ways",
        lambda p: zipped(p, comment=other(p)),
    ),
    "a hidden file at the beginning": (
        "belong to no file",
        lambda p: zipped(first(p, before=hidden(p))),
    ),
    "a hidden file in the middle": (
        "belong to no file",
        lambda p: zipped([*p[:-1], replace(p[-1], before=hidden(p))]),
    ),
    "a hidden file before the directory": (
        "belong to no file",
        lambda p: zipped(p, gap=hidden(p)),
    ),
    "a hidden file behind the packed data": (
        "cannot be unpacked",
        lambda p: zipped(first(p, junk=hidden(p))),
    ),
    "a hidden file behind stored data": (
        "cannot be unpacked",
        lambda p: zipped(first(p, stored=True, junk=hidden(p))),
    ),
    "a directory of more entries than told": (
        "read in several ways|another length",
        lambda p: zipped(p, end={"here": len(p) - 1, "count": len(p) - 1}),
    ),
    "a directory of fewer entries than told": (
        "another length",
        lambda p: zipped(p, end={"here": len(p) + 1, "count": len(p) + 1}),
    ),
    "an entry behind the directory's": (
        "another length|twice|not a zip",
        lambda p: zipped(p, extra_entries=p[0].header({"name": b"demo/evil.py"}, 0)),
    ),
    "two names for the same bytes": (
        "overlap|another name",
        lambda p: zipped([*p, Part(name=b"demo/b.py", data=b"", central={"offset": 0})]),
    ),
    "a part of several archives": (
        "a part of several",
        lambda p: zipped(p, end={"disk": 1}),
    ),
    "a file on another disk": ("a part of several", lambda p: zipped(first(p, central={"disk": 1}))),
    "a size after the data that is another": (
        "another size or checksum",
        lambda p: with_later(p, size=3),
    ),
    "a size after stored data": (
        "read in several ways",
        lambda p: with_later([replace(one, stored=True) for one in p]),
    ),
    "strong encryption": (
        "is encrypted",
        lambda p: zipped(first(p, flags=0x40)),
    ),
    "headers that are hidden": ("hides its header", lambda p: zipped(first(p, flags=0x2000))),
    "a folder with content": (
        "a folder with content",
        lambda p: zipped([*p, Part(name=b"demo/sub/", data=EVIL)]),
    ),
    "a file that says it is a folder": (
        "both a file and a folder",
        lambda p: zipped(first(p, central={"mode": 0o40755})),
    ),
}


def zip64_everywhere(parts: Sequence[Part]) -> bytes:
    """As zip tools write that do not know the size beforehand."""
    made = []
    for part in parts:
        sizes = {"size": FULL, "packed": FULL}
        both = numbers(len(part.data), len(part.packed))
        made.append(replace(part, local={**sizes, "extra": both}, central={**sizes, "extra": both}))
    return zipped(made, wide={}, end={"here": 0xFFFF, "count": 0xFFFF, "length": FULL, "start": FULL})


HARMLESS: dict[str, Make] = {
    "as it should be": zipped,
    "all stored": lambda p: zipped([replace(one, stored=True) for one in p]),
    "a comment": lambda p: zipped(p, comment=b"made by hand"),
    "a time in an extra field": lambda p: zipped(
        first(p, local={"extra": extra(0x5455, b"\1abcd")}, central={"extra": extra(0x5455, b"\1abcd")})
    ),
    "an aligned file": lambda p: zipped(first(p, local={"extra": bytes(3)})),
    "a long extra field": lambda p: zipped(first(p, local={"extra": extra(0xD935, bytes(500))})),
    "the same Unicode path": lambda p: zipped(
        first(p, central={"extra": unicode_path(NAME, NAME)}, local={"extra": unicode_path(NAME, NAME)})
    ),
    "sizes after the data": lambda p: with_later(p, mark=b"PK\7\x08"),
    "sizes after the data, without a mark": with_later,
    "wide sizes after the data": lambda p: with_later(p, "<I2Q", b"PK\7\x08"),
    "ZIP64 everywhere": zip64_everywhere,
    "ZIP64's end, and the other too": lambda p: zipped(p, wide={}),
    "a folder": lambda p: zipped([Part(name=b"demo/", data=b"", stored=True), *p]),
    "a hint on how it was packed": lambda p: zipped(first(p, local={"flags": 2})),
    "a name in UTF-8": zipped,
}
