"""The dynamic section of an ELF file and its symbols, and strings that tell what its code may look for.

pyelftools makes a Python object of every symbol, which decides whether wheels with hundreds of ELF
files take seconds or minutes (benchmarks/audit.py has the figures). What is read is what the
dynamic loader reads, by the addresses in the dynamic section, so files without section headers lose
nothing.

Strings in read-only data are searched for a few literal pieces, then the C string around each hit is
looked at: fast enough to be done for every file. What that finds is a hint (the string is there), never
a proof (the code uses it).

Formats: System V ABI, "Dynamic Linking"; the Linux Standard Base on symbol versioning.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pytest_manylinux.model.elf_facts import SymbolWant

MAX_SYMBOLS = 4_000_000
"""Dynamic symbols of one file; the largest real tables hold some 300,000."""

MAX_NAME_BYTES = 64 * 1024**2
"""Bytes of the string table, and of all names in it: damaged tables name overlapping strings. The
largest real ones hold some 20 MiB."""

MAX_STRING = 64 * 1024
"""Bytes of one name; mangled C++ names stay below 10,000."""

MAX_DYNAMIC = 4096
"""Entries of a dynamic section; real ones have 20 to 60."""


NEEDED, HASH, STRTAB, SYMTAB, STRSZ, SONAME, RPATH = 1, 4, 5, 6, 10, 14, 15
TEXTREL, RUNPATH, FLAGS, RELR = 22, 29, 30, 36
GNU_HASH, VERSYM, FLAGS_1 = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFB
VERDEF, VERDEFNUM, VERNEED, VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
AUXILIARY, FILTER = 0x7FFFFFFD, 0x7FFFFFFF

_LAST_LOCAL, _WEAK = 0x0F, 2  # the binding is the upper half of a byte
_SECTION_OR_FILE = frozenset({3, 4})
_INDIRECT = frozenset({0x1A, 0x2A})  # st_info of STT_GNU_IFUNC, global or weak
_VISIBLE = frozenset({0, 3})  # STV_DEFAULT, STV_PROTECTED
_ABSOLUTE = 0xFFF1
_INDEX = 0x7FFF  # the highest bit of a versym entry says hidden
_NO_VERSION = ("", "")
_BASE = 1  # VER_FLG_BASE: the file's own name, no version

Data = bytes | bytearray | mmap.mmap
Pool = dict[tuple[str, str, str, bool], SymbolWant]
_Row = tuple[tuple[int, int, int, int], int]
"""Name offset, binding and type, visibility, section; and the version index."""


class ElfDamagedError(Exception):
    """The file contradicts itself; the message says where. elf.py turns it into words for people."""


@dataclass(frozen=True, slots=True)
class Span:
    """A PT_LOAD segment as a map from addresses to offsets."""

    address: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class ElfLayout:
    """What reading needs to know: the bytes, class (32 or 64), byte order (`<`, `>`), segments."""

    data: Data
    bits: int
    order: str
    spans: tuple[Span, ...]

    @property
    def wide(self) -> bool:
        """Whether addresses have 64 bits."""
        return self.bits == 64  # noqa: PLR2004 - the class itself

    def offset(self, address: int) -> int:
        """The file offset of an address; raises ElfDamagedError if no segment has it."""
        for span in self.spans:
            if span.address <= address < span.address + span.size:
                return address - span.address + span.offset
        raise ElfDamagedError(f"address {address:#x} lies in no segment")

    def read(self, form: str, offset: int) -> tuple[int, ...]:
        """Unpack one structure of integers; raises ElfDamagedError beyond the end."""
        try:
            return struct.unpack_from(self.order + form, self.data, offset)
        except struct.error as error:
            raise ElfDamagedError(f"the file ends before offset {offset:#x} is read") from error

    def part(self, offset: int, size: int) -> bytes | bytearray:
        """A slice; raises ElfDamagedError beyond the end."""
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise ElfDamagedError(f"{size} bytes at offset {offset:#x} lie beyond the file's end")
        return self.data[offset : offset + size]


class Strings:
    """A string table. `text(offset)` is the string that starts there.

    The table is decoded once, a character for a byte, so that most names are plain slices of it.
    """

    __slots__ = ("_ascii", "_table")

    def __init__(self, data: bytes | bytearray) -> None:
        self._table = data.decode("latin-1")
        self._ascii = self._table.isascii()

    def text(self, offset: int) -> str:
        """Undecodable bytes are shown as escapes; raises ElfDamagedError outside the table."""
        end = self._table.find("\0", offset, offset + MAX_STRING) if offset >= 0 else -1
        if end < 0:
            raise ElfDamagedError(f"no name begins and ends at {offset:#x} of the string table")
        name = self._table[offset:end]
        if self._ascii or name.isascii():
            return name
        return name.encode("latin-1").decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The dynamic section: tag to values, in order, and its string table."""

    tags: dict[int, list[int]]
    strings: Strings

    def texts(self, tag: int) -> tuple[str, ...]:
        """The strings that the tag's values name."""
        return tuple(self.strings.text(value) for value in self.tags.get(tag, ()))

    def value(self, tag: int, default: int = 0) -> int:
        """The last value, as for the loader; `default` where the tag is absent."""
        return self.tags.get(tag, [default])[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """The dynamic symbols; fields as in ElfFacts."""

    wants: tuple[SymbolWant, ...] = ()
    exports: tuple[str, ...] = ()
    version_needs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    version_defs: tuple[str, ...] = ()
    indirect: bool = False
    """Whether a symbol is an indirect function (STT_GNU_IFUNC)."""


def read_dynamic(layout: ElfLayout, offset: int, size: int) -> Dynamic:
    """Read the dynamic section at a file offset; raises ElfDamagedError."""
    form = layout.order + ("qQ" if layout.wide else "iI")
    width = struct.calcsize(form)
    table = layout.part(offset, min(size, MAX_DYNAMIC * width) // width * width)
    tags: dict[int, list[int]] = {}
    for tag, value in struct.iter_unpack(form, table):
        if tag == 0:
            break
        tags.setdefault(tag, []).append(value)
    strings: bytes | bytearray = b""
    if STRTAB in tags:
        start = layout.offset(tags[STRTAB][-1])
        size = min(tags.get(STRSZ, [0])[-1], len(layout.data) - start)
        if size > MAX_NAME_BYTES:
            raise ElfDamagedError(f"a string table of {size} bytes is not credible")
        strings = layout.part(start, size)
    return Dynamic(tags, Strings(strings))


def read_symbols(layout: ElfLayout, dynamic: Dynamic, *, stated: int | None, pool: Pool) -> Symbols:
    """Read the symbol table with its versions; raises ElfDamagedError.

    `stated` is the count of symbols by the section headers, if known; `pool` shares equal values
    between the files of a wheel.
    """
    if SYMTAB not in dynamic.tags:
        return Symbols()
    needs = dict(_version_needs(layout, dynamic))
    definitions = dict(_version_definitions(layout, dynamic))
    count = stated if stated is not None else _count(layout, dynamic)
    rows = _rows(layout, dynamic, count)
    wants, exports = _symbols(rows, dynamic.strings.text, needs, definitions, pool)
    by_library: dict[str, list[str]] = {}
    for version, library in needs.values():
        by_library.setdefault(library, []).append(version)
    return Symbols(
        wants=wants,
        exports=exports,
        version_needs=tuple((library, tuple(sorted(set(v)))) for library, v in by_library.items()),
        version_defs=tuple(definitions.values()),
        indirect=_has_indirect(layout, dynamic, count),
    )


def _has_indirect(layout: ElfLayout, dynamic: Dynamic, count: int) -> bool:
    size = symbol_size(layout)
    table = bytes(layout.part(layout.offset(dynamic.value(SYMTAB)), count * size))
    return not _INDIRECT.isdisjoint(table[4 if layout.wide else 12 :: size])


def _version_needs(layout: ElfLayout, dynamic: Dynamic) -> Iterator[tuple[int, tuple[str, str]]]:
    """Version index to (version, library), from DT_VERNEED."""
    if VERNEED not in dynamic.tags:
        return
    offset = layout.offset(dynamic.value(VERNEED))
    budget = _INDEX
    for _ in range(min(dynamic.value(VERNEEDNUM), _INDEX)):
        _, count, file, first, following = layout.read("HHIII", offset)
        library = dynamic.strings.text(file)
        auxiliary = offset + first
        for _ in range(count):
            budget -= 1
            if budget < 0:
                raise ElfDamagedError("it asks for more versions than can be numbered")
            _, _, index, name, further = layout.read("IHHII", auxiliary)
            yield index & _INDEX, (dynamic.strings.text(name), library)
            if not further:
                break
            auxiliary += further
        if not following:
            return
        offset += following


def _version_definitions(layout: ElfLayout, dynamic: Dynamic) -> Iterator[tuple[int, str]]:
    """Version index to version, from DT_VERDEF; the file's own name (the base) is left out."""
    if VERDEF not in dynamic.tags:
        return
    offset = layout.offset(dynamic.value(VERDEF))
    for _ in range(min(dynamic.value(VERDEFNUM), 0xFFFF)):
        _, flags, index, _, _, first, following = layout.read("HHHHIII", offset)
        name, _ = layout.read("II", offset + first)
        if not flags & _BASE:
            yield index & _INDEX, dynamic.strings.text(name)
        if not following:
            return
        offset += following


def _count(layout: ElfLayout, dynamic: Dynamic) -> int:
    """How many symbols there are; the dynamic section does not say it outright.

    By the hash tables, or, where those hold no defined symbol, by the place of whatever comes next.
    """
    if GNU_HASH in dynamic.tags and (count := _count_gnu(layout, dynamic.value(GNU_HASH))):
        return count
    if HASH in dynamic.tags:
        return layout.read("II", layout.offset(dynamic.value(HASH)))[1]
    start = dynamic.value(SYMTAB)
    tables = (STRTAB, HASH, GNU_HASH, VERSYM, VERDEF, VERNEED)
    behind = [dynamic.value(tag) for tag in tables if dynamic.value(tag) > start]
    return (min(behind) - start) // symbol_size(layout) if behind else 0


def symbol_size(layout: ElfLayout) -> int:
    """Bytes of one entry of the symbol table."""
    return 24 if layout.wide else 16


def _count_gnu(layout: ElfLayout, address: int) -> int:
    """The count by DT_GNU_HASH: the end of the chain that starts last; 0 if it has no chain."""
    offset = layout.offset(address)
    buckets, first, bloom, _ = layout.read("IIII", offset)
    start = offset + 16 + bloom * layout.bits // 8
    table = layout.part(start, buckets * 4)
    last = max((value for (value,) in struct.iter_unpack(layout.order + "I", table)), default=0)
    if last < first or last == 0:
        return 0
    chains = start + buckets * 4
    while last < MAX_SYMBOLS:
        (chain,) = layout.read("I", chains + (last - first) * 4)
        last += 1
        if chain & 1:
            return last
    raise ElfDamagedError("the hash table has no end")


def _symbols(
    rows: Iterable[_Row],
    text: Callable[[int], str],
    needs: dict[int, tuple[str, str]],
    definitions: dict[int, str],
    pool: Pool,
) -> tuple[tuple[SymbolWant, ...], tuple[str, ...]]:
    """The undefined symbols and the names of the visible defined ones.

    The first entry is empty by definition; local, hidden and nameless ones take no part in linking.
    One plain loop: most of the time that a large file takes is spent in it.
    """
    wants: list[SymbolWant] = []
    exports: list[str] = []
    budget = MAX_NAME_BYTES
    for (offset, info, other, place), index in rows:
        if not offset or info <= _LAST_LOCAL or info & 0xF in _SECTION_OR_FILE:
            continue
        if place and other & 3 not in _VISIBLE:
            continue
        name = text(offset)
        budget -= len(name)
        if budget < 0:
            raise ElfDamagedError("the names of its symbols overlap beyond all measure")
        if not place:
            version, library = needs.get(index & _INDEX, _NO_VERSION)
            key = (name, version, library, info >> 4 == _WEAK)
            wants.append(pool.get(key) or pool.setdefault(key, _want(key)))
        elif not definitions or (own := definitions.get(index & _INDEX)) is None:
            exports.append(name)
        elif place != _ABSOLUTE or name != own:
            exports.append(f"{name}@{own}")
    return tuple(wants), tuple(exports)


def _want(key: tuple[str, str, str, bool]) -> SymbolWant:
    return SymbolWant(name=key[0], version=key[1], library=key[2], weak=key[3])


def _rows(layout: ElfLayout, dynamic: Dynamic, count: int) -> Iterator[_Row]:
    """Each symbol of the table with its version index, 0 where there are no versions."""
    if not 0 <= count <= MAX_SYMBOLS:
        raise ElfDamagedError(f"{count} dynamic symbols are not credible")
    size = symbol_size(layout)
    table = layout.part(layout.offset(dynamic.value(SYMTAB)), count * size)
    indexes: Sequence[int] = bytes(count)
    if VERSYM in dynamic.tags:
        spans = layout.part(layout.offset(dynamic.value(VERSYM)), count * 2)
        indexes = struct.unpack(f"{layout.order}{count}H", spans)
    form = layout.order + ("IBBH16x" if layout.wide else "I8xBBH")
    return zip(struct.iter_unpack(form, table), indexes, strict=True)


MAX_HITS = 10_000
"""Places looked at for one literal piece in one file."""

MAX_FOUND = 200
"""Strings kept of one file."""

MAX_LENGTH = 250
"""Bytes of one string; longer ones are no path or library name that people would write."""

_LIBRARY = re.compile(rb"lib[\w+.-]{1,80}\.so(?:\.\d+){0,3}")
_PATH = re.compile(rb"/[\x21-\x7e]{3,250}")
_QUOTED = re.compile(rb'[A-Z]+DIR: "(/[\x20\x21\x23-\x7e]{2,200})"')

_BAKED = (
    b"/cert.pem",
    b"/openssl.cnf",
    b"ca-bundle.",
    b"ca-certificates.crt",
    b"/krb5.conf",
    b'OPENSSLDIR: "',
    b'ENGINESDIR: "',
    b'MODULESDIR: "',
)
"""What OpenSSL, LibreSSL, curl and Kerberos compile in as places of certificates and settings."""


def library_names(data: Data, spans: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """Library file names such as `libfoo.so.1` that are whole strings; sorted."""
    found = {text.decode() for text in _around(data, spans, (b".so",)) if _LIBRARY.fullmatch(text)}
    return tuple(sorted(found)[:MAX_FOUND])


def baked_paths(data: Data, spans: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """Absolute paths of certificates, settings and modules that are whole strings; sorted."""
    found = set()
    for text in _around(data, spans, _BAKED):
        if quoted := _QUOTED.fullmatch(text):
            found.add(quoted[1].decode())
        elif _PATH.fullmatch(text):
            found.add(text.decode())
    return tuple(sorted(found)[:MAX_FOUND])


def numpy_headers(data: Data, spans: Iterable[tuple[int, int]]) -> int:
    """The major version of the NumPy that a file was compiled for; 0 if it does not use its C API.

    NumPy 2's headers (`import_array`), pybind11 2.12 and rust-numpy look for the module numpy._core.
    """
    found = [data.find(b"_ARRAY_API\0", offset, offset + size) >= 0 for offset, size in spans]
    if not any(found):
        return 0
    return 2 if any(data.find(b"numpy._core", o, o + size) >= 0 for o, size in spans) else 1


def imports_array(data: Data, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether a file holds `import_array` of NumPy's headers, which compares ABI versions at once.

    pybind11 and rust-numpy have no such words: they look NumPy up when they first use it.
    """
    words = b"module compiled against ABI version"
    return any(data.find(words, offset, offset + size) >= 0 for offset, size in spans)


def _around(
    data: Data, spans: Iterable[tuple[int, int]], needles: tuple[bytes, ...]
) -> Iterator[bytes | bytearray]:
    """The C strings in which a needle occurs, as far as they are short and end inside the span."""
    for offset, size in spans:
        limit = min(offset + size, len(data))
        for needle in needles:
            place = data.find(needle, offset, limit)
            for _ in range(MAX_HITS):
                if place < 0:
                    break
                earliest = max(offset, place - MAX_LENGTH)
                before = data.rfind(b"\0", earliest, place)
                end = data.find(b"\0", place, min(limit, place + MAX_LENGTH))
                if end < 0:
                    end = place + len(needle)
                elif before >= 0:
                    yield data[before + 1 : end]
                elif earliest == offset:  # the first string of its section
                    yield data[offset:end]
                place = data.find(needle, end, limit)


@cache
def musl_symbols() -> Mapping[str, tuple[int, ...]]:
    """Names that musl defines, to the first version that has them; empty for those that all have.

    From `musl-symbols.txt`, whose head names the versions that were read.
    """
    text = (files("pytest_manylinux.inspect") / "musl-symbols.txt").read_text("utf-8")
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {name: tuple(int(n) for v in first for n in v.split(".")) for name, *first in rows}
