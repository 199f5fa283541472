"""Relocations of an ELF file by which a loader would call a resolver: indirect functions (IFUNC).

Types and layouts: elf.h of glibc; Elf32_Rel, Elf32_Rela, Elf64_Rel and Elf64_Rela of the System V ABI.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pytest_manylinux.inspect.symbols import Dynamic, ElfDamagedError, ElfLayout

_IRELATIVE = {
    "x86_64": 37,
    "i686": 42,
    "aarch64": 1032,
    "armv7l": 160,
    "ppc64le": 248,
    "s390x": 61,
    "riscv64": 58,
    "loongarch64": 12,
}
"""R_ARCH_IRELATIVE, by the architecture's name in platform tags."""

_PLTRELSZ, _RELA, _RELASZ, _REL, _RELSZ, _PLTREL, _JMPREL = 2, 7, 8, 17, 18, 20, 23
_MOST_BYTES = 128 * 1024**2
"""Bytes of one table; the largest real ones have some 20 MiB."""


def has_indirect_relocations(layout: ElfLayout, dynamic: Dynamic, arch: str) -> bool:
    """Whether one of the file's relocations is R_ARCH_IRELATIVE; False for other architectures."""
    number = _IRELATIVE.get(arch)
    if number is None:
        return False
    try:
        return any(_holds(table, width, number, layout) for table, width in _tables(layout, dynamic))
    except ElfDamagedError:  # relocations outside the file: no loader takes it
        return False


def _tables(layout: ElfLayout, dynamic: Dynamic) -> Iterator[tuple[bytes, int]]:
    """Each table of relocations with the bytes of one entry."""
    word = 8 if layout.wide else 4
    plt = 3 if dynamic.value(_PLTREL) == _RELA else 2
    for place, size, words in ((_RELA, _RELASZ, 3), (_REL, _RELSZ, 2), (_JMPREL, _PLTRELSZ, plt)):
        count = dynamic.value(size)
        if dynamic.value(place) and 0 < count <= _MOST_BYTES:
            yield bytes(layout.part(layout.offset(dynamic.value(place)), count)), words * word


def _holds(table: bytes, width: int, number: int, layout: ElfLayout) -> bool:
    """Whether an entry has that type: the lower half of r_info, or its lowest byte in 32 bits.

    Tables have up to a million entries: one byte of each is compared, the rest only where it fits.
    """
    little = layout.order == "<"
    if not layout.wide:
        return number in table[4 if little else 7 :: width]
    lowest = table[8 if little else 15 :: width]
    start = 8 if little else 12
    found = lowest.find(number & 0xFF)
    while found >= 0:
        place = found * width + start
        if table[place : place + 4] == struct.pack(layout.order + "I", number):
            return True
        found = lowest.find(number & 0xFF, found + 1)
    return False
