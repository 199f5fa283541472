"""System calls that machine code of x86_64 makes by number, without a function of the C library.

Two forms are looked for, as compilers write them: the number moved into eax and the instruction
`syscall` soon after it; and the number moved into edi and a call of glibc's function `syscall` soon
after it, through the file's global offset table. Code is not disassembled: a number that comes from
memory or from far away is not seen.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterable, Iterator

from pytest_manylinux.inspect.symbols import SYMTAB, Data, Dynamic, ElfDamagedError, ElfLayout
from pytest_manylinux.model.elf_facts import LoadSegment
from pytest_manylinux.model.system_calls import CALL_NUMBERS

_NAMES = {number: name for name, number in CALL_NUMBERS.items()}
_FUNCTION = "syscall"
_INSTRUCTION = b"\x0f\x05"  # syscall
_NEAR = 40  # bytes between the number and what makes the call; arguments are loaded there
# Numbers from 256 to 511: mov eax, imm32 and mov edi, imm32 (Intel SDM, volume 2, MOV).
_TO_EAX = re.compile(rb"\xb8(.)\x01\x00\x00", re.DOTALL)
_TO_EDI = re.compile(rb"\xbf(.)\x01\x00\x00", re.DOTALL)
_CALL = re.compile(rb"[\xe8\xe9]|\xff[\x15\x25]")  # call or jmp, rel32 or [rip+disp32]
_STUB = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\xf2?\xff\x25")  # endbr64; bnd jmp [rip+disp32]
_STUB_SIZE = 7  # bytes of that at most
_CALL_SIZE = 6  # bytes of the longest
_WORD = struct.Struct("<i")
_RELOCATION = struct.Struct("<QQq")  # Elf64_Rela
_RELA, _RELASZ, _PLTRELSZ, _JMPREL = 7, 8, 2, 23  # elf.h
_MOST_RELOCATIONS = 4_000_000
_SYMBOL = 24  # bytes of Elf64_Sym


def numbered_calls(
    layout: ElfLayout, dynamic: Dynamic, segments: Iterable[LoadSegment], *, by_function: bool
) -> tuple[str, ...]:
    """The names of the calls, sorted. `by_function`: the file takes the function `syscall`."""
    data = layout.data
    try:
        slots = frozenset(_slots(layout, dynamic)) if by_function else frozenset()
    except ElfDamagedError:  # relocations outside the file: no loader takes it either
        slots = frozenset()
    found: set[str] = set()
    for segment in segments:
        if "x" in segment.flags:
            end = min(segment.offset + segment.file_size, len(data))
            found.update(_by_instruction(data, segment.offset, end))
            if slots:
                found.update(_by_function(data, segment, end, slots))
    return tuple(sorted(found))


def _by_instruction(data: Data, start: int, end: int) -> Iterator[str]:
    place = data.find(_INSTRUCTION, start, end)
    while place >= 0:
        before = _TO_EAX.findall(bytes(data[max(start, place - _NEAR) : place]))
        if before:
            yield from _name(before[-1])
        place = data.find(_INSTRUCTION, place + 1, end)


def _by_function(data: Data, segment: LoadSegment, end: int, slots: Collection[int]) -> Iterator[str]:
    for match in _TO_EDI.finditer(data, segment.offset, end):
        after = bytes(data[match.end() : min(end, match.end() + _NEAR)])
        for call in _CALL.finditer(after, 0, max(len(after) - _CALL_SIZE, 0)):
            if _slot(data, segment, match.end() + call.start(), end) in slots:
                yield from _name(match[1])
                break


def _slot(data: Data, segment: LoadSegment, place: int, end: int) -> int | None:
    """The address of the table's entry that an instruction calls through, directly or by a stub."""
    bias = segment.address - segment.offset
    if data[place] == 0xFF:  # noqa: PLR2004 - by [rip+disp32]
        (distance,) = _WORD.unpack_from(data, place + 2)
        return int(place + 6 + distance + bias)
    (distance,) = _WORD.unpack_from(data, place + 1)
    target = place + 5 + distance
    if not segment.offset <= target < end - _STUB_SIZE - _WORD.size:
        return None
    stub = _STUB.match(bytes(data[target : target + _STUB_SIZE]))
    if stub is None:
        return None
    (distance,) = _WORD.unpack_from(data, target + stub.end())
    return int(target + stub.end() + _WORD.size + distance + bias)


def _name(lowest: bytes) -> Iterator[str]:
    name = _NAMES.get(256 + lowest[0])
    if name is not None:
        yield name


def _slots(layout: ElfLayout, dynamic: Dynamic) -> Iterator[int]:
    """The addresses that the loader fills with the function's own, by the relocations."""
    symbols = layout.offset(dynamic.value(SYMTAB))
    known: dict[int, bool] = {0: False}
    for table, size in ((_JMPREL, _PLTRELSZ), (_RELA, _RELASZ)):
        count = min(dynamic.value(size) // _RELOCATION.size, _MOST_RELOCATIONS)
        if not count or table not in dynamic.tags:
            continue
        rows = layout.part(layout.offset(dynamic.value(table)), count * _RELOCATION.size)
        for address, info, _ in _RELOCATION.iter_unpack(rows):
            index = info >> 32
            if index not in known:
                (name,) = layout.read("I", symbols + index * _SYMBOL)
                known[index] = dynamic.strings.text(name) == _FUNCTION
            if known[index]:
                yield address
