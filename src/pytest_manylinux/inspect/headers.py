"""The three kinds of headers of an ELF file, parsed by pyelftools.

Its ELFFile class is passed by: it builds every structure anew for each file and imports its DWARF
reader, half of the time that a small file takes here. The structures themselves are its own.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.elf.structs import ELFStructs

from pytest_manylinux.inspect.symbols import Data, ElfDamagedError, Strings
from pytest_manylinux.model.wheel import LoadSegment

MAX_SEGMENTS = 1024
"""Program headers of one file; real ones have 5 to 20."""

MAX_SECTIONS = 65_536
"""Section headers of one file; only relocatable objects come near."""

MAX_SECTION_NAMES = 8 * 1024**2
"""Bytes of the sections' names, some 20 for each."""

_CLASSES = {1: 32, 2: 64}  # EI_CLASS
_ORDERS = {1: "<", 2: ">"}  # EI_DATA
_IDENT = 16
_FLAGS = ((4, "r"), (2, "w"), (1, "x"))  # PF_R, PF_W, PF_X


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header: pyelftools' name of its type (`PT_LOAD`), its flags, and its figures."""

    kind: str
    flags: int
    load: LoadSegment


@dataclass(frozen=True, slots=True)
class Section:
    """A section header: name, pyelftools' name of its type (`SHT_DYNSYM`), place and size in bytes."""

    name: str
    kind: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers say. `bits` is 32 or 64, `order` struct's `<` or `>`.

    `sections` is empty where the section headers are missing or damaged: the loader never looks
    at them.
    """

    bits: int
    order: str
    e_type: str
    machine: str
    flags: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]


def read_headers(data: Data) -> Headers:
    """Read all headers; raises ElfDamagedError, or pyelftools' errors for headers cut short."""
    ident = data[:_IDENT]
    if len(ident) < _IDENT or ident[4] not in _CLASSES or ident[5] not in _ORDERS:
        raise ElfDamagedError("its first 16 bytes state no class or no byte order")
    bits, order = _CLASSES[ident[4]], _ORDERS[ident[5]]
    stream = io.BytesIO(data) if isinstance(data, bytes) else cast("IO[bytes]", data)
    first = struct_parse(_structs(bits, order).Elf_Ehdr, stream, stream_pos=0)
    e_type, machine = str(first["e_type"]), str(first["e_machine"])
    structs = _structs(bits, order, e_type, machine, str(first["e_ident"]["EI_OSABI"]))
    return Headers(
        bits=bits,
        order=order,
        e_type=e_type,
        machine=machine,
        flags=first["e_flags"],
        segments=_segments(structs, stream, first),
        sections=_sections(structs, stream, first, data),
    )


@functools.lru_cache(maxsize=64)
def _structs(
    bits: int, order: str, e_type: str = "", machine: str = "", os_abi: str = ""
) -> ELFStructs:
    structs = ELFStructs(little_endian=order == "<", elfclass=bits)
    structs.create_basic_structs()
    if e_type:
        structs.create_advanced_structs(e_type, machine, os_abi)
    return structs


def _table(
    structs: ELFStructs, stream: IO[bytes], header: Mapping[str, Any], kind: str
) -> Iterator[Mapping[str, Any]]:
    """Parse the table of `ph` or `sh` headers."""
    form = structs.Elf_Phdr if kind == "ph" else structs.Elf_Shdr
    start, width = header[f"e_{kind}off"], header[f"e_{kind}entsize"]
    for index in range(header[f"e_{kind}num"]):
        yield struct_parse(form, stream, stream_pos=start + index * width)


def _segments(structs: ELFStructs, stream: IO[bytes], header: Mapping[str, Any]) -> tuple[Segment, ...]:
    if header["e_phnum"] > MAX_SEGMENTS:
        raise ElfDamagedError(f"{header['e_phnum']} program headers are not credible")
    return tuple(
        Segment(
            str(row["p_type"]),
            row["p_flags"],
            LoadSegment(
                offset=row["p_offset"],
                address=row["p_vaddr"],
                file_size=row["p_filesz"],
                memory_size=row["p_memsz"],
                align=row["p_align"],
                flags="".join(letter if row["p_flags"] & bit else "-" for bit, letter in _FLAGS),
            ),
        )
        for row in _table(structs, stream, header, "ph")
    )


def _sections(
    structs: ELFStructs, stream: IO[bytes], header: Mapping[str, Any], data: Data
) -> tuple[Section, ...]:
    if not header["e_shoff"] or not 0 < header["e_shnum"] <= MAX_SECTIONS:
        return ()
    try:
        rows = list(_table(structs, stream, header, "sh"))
        table = rows[header["e_shstrndx"]]
        size = min(table["sh_size"], MAX_SECTION_NAMES)
        names = Strings(data[table["sh_offset"] : table["sh_offset"] + size])
        return tuple(
            Section(names.text(row["sh_name"]), str(row["sh_type"]), row["sh_offset"], row["sh_size"])
            for row in rows
        )
    except (ELFError, ElfDamagedError, IndexError, ValueError, OverflowError):
        return ()
