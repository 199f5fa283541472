"""Facts of one ELF file, read with struct from its bytes: its headers here, its symbols in symbols.py.

A file that contradicts itself raises MalformedElfError; damage that the dynamic loader would not
notice (section headers) only leaves fields empty.

pyelftools makes a dozen Python objects of each header; for a wheel with hundreds of files that was
half of the time that reading took, and importing it a tenth of a prediction. It still names the
machines that have no platform tag, and a test holds both against each other.

Formats: System V ABI, "Object Files" (ELF header, sections) and "Program Loading".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_manylinux.errors import MalformedWheelError
from pytest_manylinux.inspect import symbols as sym
from pytest_manylinux.inspect.known_libraries import library_versions
from pytest_manylinux.inspect.numbered_calls import numbered_calls
from pytest_manylinux.inspect.relocations import has_indirect_relocations
from pytest_manylinux.inspect.symbols import (
    Data,
    Dynamic,
    ElfDamagedError,
    ElfLayout,
    Pool,
    Span,
    Strings,
    baked_paths,
    imports_array,
    library_names,
    numpy_headers,
)
from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind, LoadSegment, SymbolWant

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

_DT_DEBUG = 21
_PAGE = 4096  # bytes, the smallest on Linux

_CLASSES = {1: 32, 2: 64}  # EI_CLASS
_ORDERS = {1: "<", 2: ">"}  # EI_DATA
_IDENT, _OS_ABI = 16, 7
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

    @property
    def loads(self) -> tuple[LoadSegment, ...]:
        """What a loader maps."""
        return tuple(one.load for one in self.segments if one.kind == PT_LOAD)

    @property
    def rodata(self) -> tuple[tuple[int, int], ...]:
        """Where read-only data lies: place and size in bytes."""
        return tuple((s.offset, s.size) for s in self.sections if s.name.startswith(".rodata"))


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


MAGIC = b"\x7fELF"

MAX_NOTES = 1024 * 1024
"""Bytes of one notes segment; real ones have a few hundred."""

_ARCHITECTURES = {
    ("EM_386", 32, "<"): "i686",
    ("EM_X86_64", 64, "<"): "x86_64",
    ("EM_X86_64", 32, "<"): "x32",
    ("EM_AARCH64", 64, "<"): "aarch64",
    ("EM_PPC64", 64, "<"): "ppc64le",
    ("EM_PPC64", 64, ">"): "ppc64",
    ("EM_S390", 64, ">"): "s390x",
    ("EM_RISCV", 64, "<"): "riscv64",
    ("EM_LOONGARCH", 64, "<"): "loongarch64",
}
# EABI version 5 with hard float, as the armv7l platform tags mean it (auditwheel reads it so too).
_ARM_EABI_MASK, _ARM_EABI5, _ARM_HARD_FLOAT = 0xFF000000, 0x05000000, 0x400

# Where an absent PT_GNU_STACK means an executable stack: DEFAULT_STACK_PERMS in glibc's
# sysdeps/*/stackinfo.h; the 64-bit newcomers and 64-bit PowerPC default to none.
_STACK_DEFAULTS_TO_EXECUTABLE = frozenset({"x86_64", "i686", "x32", "armv7l", "arm", "s390x"})

_DF_TEXTREL, _DF_STATIC_TLS, _DF_1_NOOPEN, _DF_1_PIE = 0x4, 0x10, 0x40, 0x08000000
_NOTE_GNU_PROPERTY, _X86_ISA_1_NEEDED = 5, 0xC0008002
_WORD = 4  # bytes: the padding of notes, and the size of this property

_INITS = {
    "PyInit_": False,
    "PyInitU_": True,
    "PyModExport_": False,
    "PyModExportU_": True,
    "_cffi_pypyinit_": False,
}
"""Beginnings of init functions' names, and whether what follows is encoded (PEP 489)."""
_INIT = tuple(_INITS)


class MalformedElfError(MalformedWheelError):
    """An ELF file that cannot be read; no loader would take it either."""


def read_elf(path: str, data: Data, *, pool: Pool | None = None) -> ElfFacts:
    """Read one file; `path` is its place in the wheel, `data` all its bytes.

    `pool` shares equal values between calls. Raises MalformedElfError and nothing else.
    """
    try:
        return _read(path, data, {} if pool is None else pool)
    except ElfDamagedError as error:
        raise _damaged(path, str(error)) from error
    except Exception as error:  # struct and arithmetic on damaged figures raise several kinds
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _damaged(path: str, why: str) -> MalformedElfError:
    return MalformedElfError(
        f"{path}: a damaged ELF file", why=why, remedy="compare it with the file that the linker made"
    )


def _read(path: str, data: Data, pool: Pool) -> ElfFacts:
    arch = _arch(headers := read_headers(data))
    segments, sections, loads = headers.segments, headers.sections, headers.loads
    dynamic = _dynamic(layout := ElfLayout(data, headers.bits, headers.order, _spans(loads)), segments)
    symbols = sym.read_symbols(layout, dynamic, stated=_stated(layout, dynamic, sections), pool=pool)
    kind = _kind(headers.e_type, segments, dynamic, interpreter := _interpreter(layout, segments))
    debug = tuple(s for s in sections if s.name.startswith((".debug_", ".zdebug_")))
    return ElfFacts(
        path=path,
        size=len(data),
        arch=arch,
        bits=headers.bits,
        is_shared=kind is ElfKind.SHARED,
        soname=next(iter(dynamic.texts(sym.SONAME)), ""),
        needed=dynamic.texts(sym.NEEDED),
        filters=dynamic.texts(sym.FILTER),
        auxiliaries=dynamic.texts(sym.AUXILIARY),
        rpath=_paths(dynamic, sym.RPATH),
        runpath=_paths(dynamic, sym.RUNPATH),
        interpreter=interpreter,
        wants=symbols.wants,
        version_needs=symbols.version_needs,
        exports_init=tuple(sorted(_inits(symbols.exports))),
        executable_stack=_executable_stack(segments, arch),
        kind=kind,
        machine=headers.machine,
        exports=symbols.exports,
        version_defs=symbols.version_defs,
        loads=loads,
        has_stack_header=_stack_header(segments) is not None,
        static_tls=bool(dynamic.value(sym.FLAGS) & _DF_STATIC_TLS),
        tls_size=sum(s.load.memory_size for s in segments if s.kind == PT_TLS),
        text_relocations=sym.TEXTREL in dynamic.tags or bool(dynamic.value(sym.FLAGS) & _DF_TEXTREL),
        relr=sym.RELR in dynamic.tags,
        isa_level=_isa_level(layout, segments) if arch == "x86_64" else 0,
        has_sections=bool(sections),
        symbol_table=any(s.kind == SHT_SYMTAB for s in sections),
        debug_sections=tuple(s.name for s in debug),
        debug_size=sum(s.size for s in debug),
        libraries_by_name=library_names(data, headers.rodata) if _dlopens(symbols.wants) else (),
        baked_paths=baked_paths(data, headers.rodata),
        numpy_headers=numpy_headers(data, headers.rodata),
        imports_array=imports_array(data, headers.rodata),
        library_versions=_versions_inside(data, sections, dynamic, symbols.exports),
        system_calls=_system_calls(layout, dynamic, loads, symbols.wants) if arch == "x86_64" else (),
        indirect_functions=symbols.indirect or has_indirect_relocations(layout, dynamic, arch),
        writes_to_read_only=bool(interpreter) and _writes_to_read_only(layout, segments),
        os_abi=(data[_OS_ABI], data[_OS_ABI + 1]),
        no_open=bool(dynamic.value(sym.FLAGS_1) & _DF_1_NOOPEN),
    )


def _spans(loads: Iterable[LoadSegment]) -> tuple[Span, ...]:
    return tuple(Span(load.address, load.offset, load.file_size) for load in loads)


def _dlopens(wants: Iterable[SymbolWant]) -> bool:
    return any(want.name in {"dlopen", "dlmopen"} for want in wants)


def _system_calls(
    layout: ElfLayout, dynamic: Dynamic, loads: Iterable[LoadSegment], wants: Iterable[SymbolWant]
) -> tuple[str, ...]:
    by_function = any(want.name == "syscall" for want in wants)
    return numbered_calls(layout, dynamic, loads, by_function=by_function)


def _versions_inside(
    data: Data, sections: Iterable[Section], dynamic: Dynamic, exports: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    """Known libraries that tell their versions in the file's constant or initialised data."""
    places = [s for s in sections if s.name.startswith(".rodata")]
    places += [s for s in sections if s.name == ".data"]
    return library_versions(
        data,
        tuple((s.offset, s.size) for s in places),
        soname=next(iter(dynamic.texts(sym.SONAME)), ""),
        exports=exports,
        needed=dynamic.texts(sym.NEEDED),
    )


def _dynamic(layout: ElfLayout, segments: tuple[Segment, ...]) -> Dynamic:
    """The dynamic section by its program header, as the loader finds it; empty if there is none."""
    for segment in segments:
        if segment.kind == PT_DYNAMIC and segment.load.file_size:
            return sym.read_dynamic(layout, segment.load.offset, segment.load.file_size)
    return Dynamic({}, Strings(b""))


def _writes_to_read_only(layout: ElfLayout, segments: Iterable[Segment]) -> bool:
    """Whether a loader that starts the program writes to memory that is mapped for reading only.

    It writes DT_DEBUG (gABI). The kernel maps whole pages, in the order of the headers: a segment takes
    the page that it begins in from the one before (seen in programs that are no PIE, after patchelf).
    """
    rows = tuple(segments)
    dynamic = next((s.load for s in rows if s.kind == PT_DYNAMIC), None)
    if dynamic is None:
        return False
    form = layout.order + ("qQ" if layout.wide else "iI")
    width = struct.calcsize(form)
    table = layout.part(dynamic.offset, dynamic.file_size // width * width)
    tags = [tag for tag, _ in struct.iter_unpack(form, table)]
    if _DT_DEBUG not in tags:
        return False
    page = (dynamic.address + tags.index(_DT_DEBUG) * width) // _PAGE
    loads = (s.load for s in rows if s.kind == PT_LOAD)
    mapped = [
        load.flags
        for load in loads
        if load.address // _PAGE <= page <= (load.address + max(load.memory_size, 1) - 1) // _PAGE
    ]
    return bool(mapped) and "w" not in mapped[-1]


def _stated(layout: ElfLayout, dynamic: Dynamic, sections: tuple[Section, ...]) -> int | None:
    """The count of dynamic symbols by the section headers, if they mean the loader's table."""
    if sym.SYMTAB not in dynamic.tags:
        return None
    offset = layout.offset(dynamic.value(sym.SYMTAB))
    width = sym.symbol_size(layout)
    sizes = (s.size for s in sections if s.kind == SHT_DYNSYM and s.offset == offset)
    return next((size // width for size in sizes), None)


def _interpreter(layout: ElfLayout, segments: tuple[Segment, ...]) -> str:
    for segment in segments:
        if segment.kind == PT_INTERP:
            text = layout.part(segment.load.offset, min(segment.load.file_size, sym.MAX_STRING))
            return text.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
    return ""


def _kind(e_type: int, segments: tuple[Segment, ...], dynamic: Dynamic, interpreter: str) -> ElfKind:
    loaded = any(s.kind == PT_LOAD and s.load.file_size for s in segments)
    if e_type == ET_REL:
        return ElfKind.OBJECT
    if not loaded or e_type not in {ET_DYN, ET_EXEC}:
        return ElfKind.OTHER
    if e_type == ET_DYN and not dynamic.tags:
        return ElfKind.OTHER  # debug information on its own: no loader opens it
    pie = bool(dynamic.value(sym.FLAGS_1) & _DF_1_PIE)
    runs = interpreter and sym.SONAME not in dynamic.tags
    return ElfKind.PROGRAM if e_type == ET_EXEC or pie or runs else ElfKind.SHARED


def _arch(headers: Headers) -> str:
    """The platform tag's word for the machine; see ElfFacts for those that have none."""
    form = (headers.bits, headers.order)
    if headers.machine == "EM_ARM":
        hard = headers.flags & _ARM_HARD_FLOAT and headers.flags & _ARM_EABI_MASK == _ARM_EABI5
        return "armv7l" if hard and form == (32, "<") else "arm"
    word = headers.machine.removeprefix("EM_").lower()
    return _ARCHITECTURES.get((headers.machine, *form), word)


def _paths(dynamic: Dynamic, tag: int) -> tuple[str, ...]:
    """A search path's elements; empty ones are kept, the loader takes them for the working folder."""
    return tuple(part for text in dynamic.texts(tag) for part in text.split(":"))


def _stack_header(segments: Iterable[Segment]) -> Segment | None:
    return next((s for s in segments if s.kind == PT_GNU_STACK), None)


def _executable_stack(segments: Sequence[Segment], arch: str) -> bool:
    stack = _stack_header(segments)
    if stack is not None:
        return bool(stack.flags & 1)
    return arch in _STACK_DEFAULTS_TO_EXECUTABLE and any(s.kind == PT_LOAD for s in segments)


def _inits(exports: tuple[str, ...]) -> Iterator[str]:
    """Module names of init functions; PEP 489 encodes names beyond ASCII in punycode."""
    for export in [name for name in exports if name.startswith(_INIT)]:
        for prefix, encoded in _INITS.items():
            if export.startswith(prefix):
                name = export.removeprefix(prefix).split("@", 1)[0]
                yield _decoded(name) if encoded else name


def _decoded(name: str) -> str:
    head, underscore, tail = name.rpartition("_")
    try:
        return f"{head}-{tail}".encode().decode("punycode") if underscore else name
    except UnicodeError:
        return name


def _isa_level(layout: ElfLayout, segments: tuple[Segment, ...]) -> int:
    """The highest x86-64 level that the notes say is needed (x86-64 psABI, GNU properties)."""
    level = 0
    for segment in segments:
        if segment.kind in {PT_NOTE, PT_GNU_PROPERTY}:
            size = min(segment.load.file_size, MAX_NOTES)
            notes = layout.data[segment.load.offset : segment.load.offset + size]
            for bits in _isa_bits(layout, bytes(notes), segment.load.align):
                level = max(level, (bits & 0xF).bit_length())
    return level


def _isa_bits(layout: ElfLayout, notes: bytes, align: int) -> Iterator[int]:
    """The values of X86_ISA_1_NEEDED in a block of notes; stops quietly where it ends early."""
    position = 0
    while position + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from(layout.order + "III", notes, position)
        start = position + 12 + _rounded(name_size, _WORD)
        if kind == _NOTE_GNU_PROPERTY and notes[position + 12 : position + 16] == b"GNU\0":
            block, inner = notes[start : start + size], 0
            while inner + 12 <= len(block):
                what, length, value = struct.unpack_from(layout.order + "III", block, inner)
                if what == _X86_ISA_1_NEEDED and length == _WORD:
                    yield value
                inner += 8 + _rounded(length, layout.bits // 8)
        position = start + _rounded(size, max(_WORD, min(align, 2 * _WORD)))


def _rounded(size: int, to: int) -> int:
    return (size + to - 1) // to * to
