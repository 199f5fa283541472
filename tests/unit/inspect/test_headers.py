"""Headers are what pyelftools, which auditwheel reads with, says of the same bytes."""

from __future__ import annotations

import _ctypes
import io
from pathlib import Path

import pytest
from elf_files import ElfSpec, Segment
from elftools.elf.elffile import ELFFile

from pytest_manylinux.inspect import elf as hdr
from pytest_manylinux.inspect.elf import read_headers

ARCHES = ("x86_64", "i686", "aarch64", "armv7l", "ppc64le", "ppc64", "s390x", "riscv64", "loongarch64")
_KINDS = {getattr(hdr, name): name for name in dir(hdr) if name.startswith("PT_")}


def _agree(data: bytes) -> None:
    ours, theirs = read_headers(data), ELFFile(io.BytesIO(data))
    assert (ours.bits, ours.order == "<") == (theirs.elfclass, theirs.little_endian)
    assert ours.machine == theirs["e_machine"]
    assert ours.flags == theirs["e_flags"]
    assert ours.e_type == {"ET_REL": 1, "ET_EXEC": 2, "ET_DYN": 3}[theirs["e_type"]]
    for mine, other in zip(ours.segments, theirs.iter_segments(), strict=True):
        if mine.kind in _KINDS:
            assert other["p_type"] == _KINDS[mine.kind]
        assert mine.flags == other["p_flags"]
        load = mine.load
        assert load.offset == other["p_offset"]
        assert (load.address, load.align) == (other["p_vaddr"], other["p_align"])
        assert (load.file_size, load.memory_size) == (other["p_filesz"], other["p_memsz"])
    for own, section in zip(ours.sections, theirs.iter_sections(), strict=True):
        assert (own.name, own.offset) == (section.name, section["sh_offset"])
        assert own.size == section["sh_size"]
        assert (own.kind == hdr.SHT_DYNSYM) == (section["sh_type"] == "SHT_DYNSYM")
        assert (own.kind == hdr.SHT_SYMTAB) == (section["sh_type"] == "SHT_SYMTAB")


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("sections", [True, False])
def test_headers_in_every_form(arch: str, sections: bool) -> None:  # noqa: FBT001
    spec = ElfSpec(
        arch=arch,
        sections=sections,
        stack="rwx",
        tls_size=8,
        isa=2,
        debug=True,
        loads=(Segment(),),
        needed=("libc.so.6",),
    )
    _agree(spec.build())


def test_headers_of_a_file_that_a_linker_made() -> None:
    _agree(Path(_ctypes.__file__).read_bytes())


@pytest.mark.parametrize(("number", "name"), [(247, "EM_BPF"), (8, "EM_MIPS"), (0xFEFE, "65278")])
def test_machines_without_a_platform_tag_are_named_too(number: int, name: str) -> None:
    data = bytearray(ElfSpec(needed=("libc.so.6",)).build())
    data[18:20] = number.to_bytes(2, "little")
    assert read_headers(bytes(data)).machine == name
