"""ELF files made to order, byte by byte: no compiler, any architecture.

`ElfSpec` says what tools are to read of the file: headers, dynamic section, symbols. Nothing in it
can run; for code that must load see `compile_extension` in wheels.py.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

_MACHINES = {
    # arch: e_machine, bits, byte order, e_flags
    "x86_64": (62, 64, "<", 0),
    "i686": (3, 32, "<", 0),
    "aarch64": (183, 64, "<", 0),
    "armv7l": (40, 32, "<", 0x05000400),
    "arm": (40, 32, "<", 0x05000200),
    "ppc64le": (21, 64, "<", 2),
    "ppc64": (21, 64, ">", 1),
    "s390x": (22, 64, ">", 0),
    "riscv64": (243, 64, "<", 5),
    "loongarch64": (258, 64, "<", 0x43),
    "bpf": (247, 64, "<", 0),
}
_BASE = 0x10000


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A PT_LOAD to add for its figures alone (alignment, flags); it has no content of its own."""

    align: int = 0x1000
    flags: int = 4
    address: int = 0x900000
    offset: int = 0
    size: int = 64


@dataclass(frozen=True)
class Want:
    """An undefined symbol; `library` provides `version`."""

    name: str
    version: str = ""
    library: str = ""
    weak: bool = False


@dataclass(frozen=True, kw_only=True)
class ElfSpec:
    """An ELF file by what tools read of it. `build` gives its bytes.

    `stack`: `rw`, `rwx`, or `absent` for no PT_GNU_STACK. `isa` is an x86-64 level (0: no note).
    `exports` may carry versions (`name@VERSION`). `sections`: write section headers (auditwheel
    reads through them; the loader does not); `debug` and `symtab` add such sections. `rodata` is
    put into a .rodata section. `dynamic` false makes a static file. `e_type`: 3 shared, 2 program,
    1 object.
    """

    arch: str = "x86_64"
    e_type: int = 3
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: str = ""
    runpath: str = ""
    interpreter: str = ""
    wants: tuple[Want, ...] = ()
    exports: tuple[str, ...] = ()
    stack: str = "rw"
    isa: int = 0
    flags: int = 0
    flags_1: int = 0
    text_relocations: bool = False
    relr: bool = False
    relocation: int = 0
    filters: tuple[str, ...] = ()
    tls_size: int = 0
    align: int = 0x1000
    loads: tuple[Segment, ...] = ()
    dynamic: bool = True
    sections: bool = True
    symtab: bool = False
    debug: bool = False
    rodata: bytes = b""
    hash_style: str = "sysv"

    def build(self) -> bytes:
        """The bytes of the file."""
        return _Writer(self).write()


class _Writer:
    """Lays out one file: header, program headers, then every part, then section headers.

    All of the file is one PT_LOAD at _BASE, so that an address is _BASE plus the offset.
    """

    def __init__(self, spec: ElfSpec) -> None:
        self.spec = spec
        self.machine, self.bits, self.order, self.e_flags = _MACHINES[spec.arch]
        self.wide = self.bits == 64
        self.strings = bytearray(b"\0")
        self.places: dict[str, tuple[int, int]] = {}
        self.body = bytearray()

    def write(self) -> bytes:
        spec = self.spec
        count = 1 + sum(
            (
                spec.dynamic,
                spec.stack != "absent",
                bool(spec.interpreter),
                bool(spec.isa),
                bool(spec.tls_size),
                len(spec.loads),
            )
        )
        head, row = (64, 56) if self.wide else (52, 32)
        self.body = bytearray(head + row * count)
        self._parts()
        sections = self._section_headers() if spec.sections else b""
        start = self._pad(8) if sections else 0
        names = len(self.places) + 1 if sections else 0
        self.body += sections
        table = self._program_headers()
        assert len(table) == row * count
        self.body[head : head + len(table)] = table
        self.body[:head] = self._header(count, start, names)
        return bytes(self.body)

    def _pack(self, form: str, *values: int) -> bytes:
        return struct.pack(self.order + form, *values)

    def _pad(self, to: int) -> int:
        self.body += bytes(-len(self.body) % to)
        return len(self.body)

    def _add(self, name: str, data: bytes) -> int:
        """Append a part; returns its address."""
        offset = self._pad(8)
        self.body += data
        self.places[name] = (offset, len(data))
        return _BASE + offset

    def _text(self, text: str) -> int:
        """The offset of a string in .dynstr."""
        data = text.encode() + b"\0"
        if (place := self.strings.find(b"\0" + data)) >= 0:
            return place + 1
        self.strings += data
        return len(self.strings) - len(data)

    def _parts(self) -> None:
        spec = self.spec
        if spec.interpreter:
            self._add(".interp", spec.interpreter.encode() + b"\0")
        if spec.isa:
            self._add(".note.gnu.property", self._isa_note())
        if spec.rodata:
            self._add(".rodata", spec.rodata)
        if spec.dynamic:
            self._dynamic()
        extra = ((spec.symtab, ".symtab", bytes(24)), (spec.debug, ".debug_info", b"debug" * 20))
        for wanted, name, data in extra:
            if wanted:
                self._add(name, data)

    def _isa_note(self) -> bytes:
        value = self._pack("III", 0xC0008002, 4, (1 << self.spec.isa) - 1) + bytes(
            4 if self.wide else 0
        )
        return self._pack("III", 4, len(value), 5) + b"GNU\0" + value

    def _dynamic(self) -> None:
        spec, tags = self.spec, []
        tags += [(1, self._text(library)) for library in spec.needed]
        tags += [(0x7FFFFFFF, self._text(library)) for library in spec.filters]
        for tag, text in ((14, spec.soname), (15, spec.rpath), (29, spec.runpath)):
            tags += [(tag, self._text(text))] if text else []
        indices = self._indices()
        symbols, versions = self._symbols(indices)
        needs, need_count = self._needs(indices)
        definitions = self._definitions(indices)
        tags.append((6, self._add(".dynsym", symbols)))
        count = len(versions) // 2
        if spec.hash_style == "sysv":
            tags.append(
                (4, self._add(".hash", self._pack(f"II{1 + count}I", 1, count, *[0] * (1 + count))))
            )
        if spec.hash_style == "gnu":
            tags.append((0x6FFFFEF5, self._add(".gnu.hash", self._gnu_hash(count))))
        if any(indices.values()):
            tags.append((0x6FFFFFF0, self._add(".gnu.version", versions)))
        if needs:
            tags += [(0x6FFFFFFE, self._add(".gnu.version_r", needs)), (0x6FFFFFFF, need_count)]
        if definitions:
            count = len(set(self._defined()))
            tags += [(0x6FFFFFFC, self._add(".gnu.version_d", definitions)), (0x6FFFFFFD, count)]
        tags += [(22, 0)] if spec.text_relocations else []
        tags += [(30, spec.flags)] if spec.flags else []
        tags += [(0x6FFFFFFB, spec.flags_1)] if spec.flags_1 else []
        tags += [(36, _BASE)] if spec.relr else []
        if spec.relocation:  # one entry, with an addend in 64 bits
            form, first = ("QQq", 7) if self.wide else ("II", 17)
            entry = self._pack(form, *(_BASE, spec.relocation, 0)[: len(form)])
            tags += [(first, self._add(".rela.dyn", entry)), (first + 1, len(entry))]
        tags += [(5, self._add(".dynstr", bytes(self.strings))), (10, len(self.strings)), (0, 0)]
        form = "qQ" if self.wide else "iI"
        self._add(".dynamic", b"".join(self._pack(form, *tag) for tag in tags))

    def _defined(self) -> list[str]:
        return list(dict.fromkeys(e.split("@")[1] for e in self.spec.exports if "@" in e))

    def _indices(self) -> dict[tuple[str, str], int]:
        """(library, version) to version index; a definition has no library."""
        keys = [("", version) for version in self._defined()]
        keys += [(want.library, want.version) for want in self.spec.wants if want.version]
        return {key: number for number, key in enumerate(dict.fromkeys(keys), start=2)}

    def _symbols(self, indices: Mapping[tuple[str, str], int]) -> tuple[bytes, bytes]:
        table, versions = bytearray(24 if self.wide else 16), bytearray(2)
        for want in self.spec.wants:
            info = (2 if want.weak else 1) << 4 | 2
            table += self._symbol(self._text(want.name), info, 0)
            versions += self._pack("H", indices.get((want.library, want.version), 1))
        for export in self.spec.exports:
            name, _, version = export.partition("@")
            table += self._symbol(self._text(name), 1 << 4 | 2, 7)
            versions += self._pack("H", indices.get(("", version), 1))
        return bytes(table), bytes(versions)

    def _symbol(self, name: int, info: int, section: int) -> bytes:
        if self.wide:
            return self._pack("IBBHQQ", name, info, 0, section, _BASE if section else 0, 0)
        return self._pack("IIIBBH", name, _BASE if section else 0, 0, info, 0, section)

    def _needs(self, indices: Mapping[tuple[str, str], int]) -> tuple[bytes, int]:
        libraries: dict[str, list[tuple[str, int]]] = {}
        for (library, version), index in indices.items():
            if library:
                libraries.setdefault(library, []).append((version, index))
        data = bytearray()
        for number, (library, versions) in enumerate(libraries.items(), start=1):
            size = 16 + 16 * len(versions)
            following = 0 if number == len(libraries) else size
            data += self._pack("HHIII", 1, len(versions), self._text(library), 16, following)
            for place, (version, index) in enumerate(versions, start=1):
                further = 0 if place == len(versions) else 16
                data += self._pack("IHHII", 0, 0, index, self._text(version), further)
        return bytes(data), len(libraries)

    def _definitions(self, indices: Mapping[tuple[str, str], int]) -> bytes:
        data = bytearray()
        versions = self._defined()
        for number, version in enumerate(versions, start=1):
            following = 0 if number == len(versions) else 28
            data += self._pack("HHHHIII", 1, 0, indices["", version], 1, 0, 20, following)
            data += self._pack("II", self._text(version), 0)
        return bytes(data)

    def _gnu_hash(self, count: int) -> bytes:
        """One bucket with a chain of all exports; the hashes themselves are not true."""
        first = 1 + len(self.spec.wants)
        bucket = first if count > first else 0
        chain = [2] * (count - first - 1) + [3] if count > first else []
        bloom = self._pack("Q" if self.wide else "I", 0)
        return (
            self._pack("IIII", 1, first, 1, 0)
            + bloom
            + self._pack(f"{1 + len(chain)}I", bucket, *chain)
        )

    def _program_headers(self) -> bytes:
        spec, rows = self.spec, []
        rows.append(self._segment(1, 5, 0, len(self.body), align=spec.align))
        for load in spec.loads:
            row = self._segment(
                1, load.flags, load.offset, load.size, align=load.align, address=load.address
            )
            rows.append(row)
        for kind, name in ((3, ".interp"), (0x6474E553, ".note.gnu.property"), (2, ".dynamic")):
            if name in self.places:
                rows.append(self._segment(kind, 4, *self.places[name], align=8))
        if spec.stack != "absent":
            rows.append(self._segment(0x6474E551, 7 if spec.stack == "rwx" else 6, 0, 0, align=16))
        if spec.tls_size:
            rows.append(self._segment(7, 4, 0, 0, align=8, memory=spec.tls_size))
        return b"".join(rows)

    def _segment(
        self,
        kind: int,
        flags: int,
        offset: int,
        size: int,
        *,
        align: int,
        address: int = 0,
        memory: int = 0,
    ) -> bytes:
        place = address or _BASE + offset
        if self.wide:
            values = (kind, flags, offset, place, place, size, memory or size, align)
            return self._pack("IIQQQQQQ", *values)
        return self._pack("8I", kind, offset, place, place, size, memory or size, flags, align)

    def _section_headers(self) -> bytes:
        kinds = {
            ".dynsym": 11,
            ".dynstr": 3,
            ".dynamic": 6,
            ".hash": 5,
            ".gnu.hash": 0x6FFFFFF6,
            ".gnu.version": 0x6FFFFFFF,
            ".gnu.version_r": 0x6FFFFFFE,
            ".gnu.version_d": 0x6FFFFFFD,
            ".note.gnu.property": 7,
            ".symtab": 2,
        }
        names = bytearray(b"\0")
        starts = {}
        for name in (*self.places, ".shstrtab"):
            starts[name] = len(names)
            names += name.encode() + b"\0"
        self._add(".shstrtab", bytes(names))
        order = list(self.places)
        strings = order.index(".dynstr") + 1 if ".dynstr" in order else 0
        sizes = {".dynsym": 24 if self.wide else 16, ".symtab": 24 if self.wide else 16}
        sizes[".dynamic"] = 16 if self.wide else 8
        sizes[".gnu.version"] = 2
        rows = [bytes(64 if self.wide else 40)]
        for name, (offset, size) in self.places.items():
            kind = 3 if name == ".shstrtab" else kinds.get(name, 1)
            info = {".gnu.version_r": self._needed_versions(), ".gnu.version_d": len(self._defined())}
            values = (starts[name], kind, 2, _BASE + offset, offset, size)
            link = (
                order.index(".dynsym") + 1
                if name in {".hash", ".gnu.hash", ".gnu.version"}
                else strings
            )
            rest = (link, info.get(name, 1), 8, sizes.get(name, 0))
            rows.append(self._pack("IIQQQQIIQQ" if self.wide else "10I", *values, *rest))
        return b"".join(rows)

    def _needed_versions(self) -> int:
        return len({want.library for want in self.spec.wants if want.version})

    def _header(self, segments: int, sections_at: int, sections: int) -> bytes:
        ident = b"\x7fELF" + bytes([2 if self.wide else 1, 1 if self.order == "<" else 2, 1]) + bytes(9)
        head, row, line = (64, 56, 64) if self.wide else (52, 32, 40)
        form = "HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH"
        last = list(self.places).index(".shstrtab") + 1 if sections else 0
        return ident + self._pack(
            form,
            *(self.spec.e_type, self.machine, 1, 0, head, sections_at, self.e_flags),
            *(head, row, segments, line, sections, last),
        )
