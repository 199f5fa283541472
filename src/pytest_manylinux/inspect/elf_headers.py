"""The three kinds of headers of an ELF file, read with struct over the file's bytes.

pyelftools makes a dozen Python objects of each header; for a wheel with hundreds of files that was
half of the time that reading took, and importing it a tenth of a prediction. It still names the
machines that have no platform tag, and a test holds both against each other.

Formats: System V ABI, "Object Files" (ELF header, sections) and "Program Loading".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pytest_manylinux.inspect.symbols import Data, ElfDamagedError, Strings
from pytest_manylinux.model.wheel import LoadSegment

MAX_SEGMENTS = 1024
"""Program headers of one file; real ones have 5 to 20."""

MAX_SECTIONS = 65_536
"""Section headers of one file; only relocatable objects come near."""

MAX_SECTION_NAMES = 8 * 1024**2
"""Bytes of the sections' names, some 20 for each."""

ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_TLS = 1, 2, 3, 4, 7
PT_GNU_STACK, PT_GNU_PROPERTY = 0x6474E551, 0x6474E553
SHT_SYMTAB, SHT_DYNSYM = 2, 11

_CLASSES = {1: 32, 2: 64}  # EI_CLASS
_ORDERS = {1: "<", 2: ">"}  # EI_DATA
_IDENT = 16
_FLAGS = tuple(
    "".join(letter if flags & bit else "-" for bit, letter in ((4, "r"), (2, "w"), (1, "x")))
    for flags in range(8)
)  # PF_R, PF_W, PF_X
# e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize, e_phnum,
# e_shentsize, e_shnum, e_shstrndx; all behind e_ident.
_FILE_HEADER = {32: "HHIIIIIHHHHHH", 64: "HHIQQQIHHHHHH"}
# 32 bits: p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_flags, p_align; with 64 bits
# p_flags comes second.
_PROGRAM_HEADER = {32: "8I", 64: "IIQQQQQQ"}
# sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size; what follows is not asked for here.
_SECTION_HEADER = {32: "6I", 64: "IIQQQQ"}
_MACHINES = {
    3: "EM_386",
    21: "EM_PPC64",
    22: "EM_S390",
    40: "EM_ARM",
    62: "EM_X86_64",
    183: "EM_AARCH64",
    243: "EM_RISCV",
    258: "EM_LOONGARCH",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header: its type (`PT_LOAD` …), its flags, and its figures."""

    kind: int
    flags: int
    load: LoadSegment


@dataclass(frozen=True, slots=True)
class Section:
    """A section header: name, type (`SHT_DYNSYM` …), place and size in bytes."""

    name: str
    kind: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers say. `bits` is 32 or 64, `order` struct's `<` or `>`.

    `machine` is the ABI's name for e_machine, such as `EM_X86_64`; the number where it has none.
    `sections` is empty where the section headers are missing or damaged: the loader never looks
    at them.
    """

    bits: int
    order: str
    e_type: int
    machine: str
    flags: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]


class _Table(NamedTuple):
    """Where a table of headers lies: `rows` of them, `width` bytes apart."""

    start: int
    width: int
    rows: int


def read_headers(data: Data) -> Headers:
    """Read all headers; raises ElfDamagedError, or struct's errors for headers cut short."""
    ident = data[:_IDENT]
    if len(ident) < _IDENT or ident[4] not in _CLASSES or ident[5] not in _ORDERS:
        raise ElfDamagedError("its first 16 bytes state no class or no byte order")
    bits, order = _CLASSES[ident[4]], _ORDERS[ident[5]]
    header = struct.unpack_from(order + _FILE_HEADER[bits], data, _IDENT)
    e_type, machine, _, _, segments_at, sections_at, flags = header[:7]
    _, segment_width, segment_count, section_width, section_count, names = header[7:]
    if segment_count > MAX_SEGMENTS:
        raise ElfDamagedError(f"{segment_count} program headers are not credible")
    segments = _Table(segments_at, segment_width, segment_count)
    sections = _Table(sections_at, section_width, section_count)
    rows = _rows(data, order + _PROGRAM_HEADER[bits], segments)
    return Headers(
        bits=bits,
        order=order,
        e_type=e_type,
        machine=_machine(machine),
        flags=flags,
        segments=tuple(_segment(row, wide=bits == 64) for row in rows),  # noqa: PLR2004
        sections=_sections(data, order + _SECTION_HEADER[bits], sections, names),
    )


def _machine(number: int) -> str:
    known = _MACHINES.get(number)
    if known is not None:
        return known
    # Rare, and a long table: files for other machines, such as the kernel's BPF.
    from elftools.elf.enums import ENUM_E_MACHINE  # noqa: PLC0415

    return next((name for name, value in ENUM_E_MACHINE.items() if value == number), str(number))


def _rows(data: Data, form: str, table: _Table) -> Iterator[tuple[int, ...]]:
    """A table's rows; raises struct.error beyond the file's end."""
    row, (start, width, count) = struct.Struct(form), table
    if start + count * width > len(data) + width:  # also keeps offsets within what struct takes
        raise struct.error("the table lies beyond the file's end")
    for index in range(count):
        yield row.unpack_from(data, start + index * width)


def _segment(row: tuple[int, ...], *, wide: bool) -> Segment:
    if wide:
        kind, flags, offset, address, _, file_size, memory_size, align = row
    else:
        kind, offset, address, _, file_size, memory_size, flags, align = row
    load = LoadSegment(
        offset=offset,
        address=address,
        file_size=file_size,
        memory_size=memory_size,
        align=align,
        flags=_FLAGS[flags & 7],
    )
    return Segment(kind, flags, load)


def _sections(data: Data, form: str, table: _Table, names_index: int) -> tuple[Section, ...]:
    if not table.start or not 0 < table.rows <= MAX_SECTIONS:
        return ()
    try:
        rows = list(_rows(data, form, table))
        _, _, _, _, offset, size = rows[names_index]
        names = Strings(data[offset : offset + min(size, MAX_SECTION_NAMES)])
        return tuple(Section(names.text(row[0]), row[1], row[4], row[5]) for row in rows)
    except (struct.error, ElfDamagedError, IndexError):
        return ()
