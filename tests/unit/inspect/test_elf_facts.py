"""ELF facts: every field from crafted bytes, and the same from what a real compiler makes."""

from __future__ import annotations

import dataclasses
import re
import struct
import subprocess
from pathlib import Path

import pytest
from elf_files import ElfSpec, Segment, Want
from wheels import Extension, compile_extension, compile_shared

from pytest_manylinux.inspect.elf import PT_DYNAMIC, PT_LOAD, MalformedElfError, read_elf
from pytest_manylinux.inspect.symbols import baked_paths
from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind, LoadSegment, SymbolWant

ARCHES = ("x86_64", "i686", "aarch64", "armv7l", "ppc64le", "ppc64", "s390x", "riscv64", "loongarch64")
RICH = ElfSpec(
    needed=("libfoo.so.1", "libc.so.6"),
    soname="libdemo.so.2",
    runpath="$ORIGIN/../demo.libs:/opt/lib",
    wants=(
        Want("memcpy", "GLIBC_2.14", "libc.so.6"),
        Want("foo", "FOO_1", "libfoo.so.1"),
        Want("maybe", weak=True),
    ),
    exports=("PyInit__x", "plain", "old@V_1", "new@V_2"),
)


def read(**fields: object) -> ElfFacts:
    return read_elf("x.so", ElfSpec(**fields).build())  # type: ignore[arg-type]


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("hash_style", ["sysv", "gnu", "none"])
@pytest.mark.parametrize("sections", [True, False])
def test_symbols_in_every_form(arch: str, hash_style: str, sections: bool) -> None:  # noqa: FBT001
    spec = dataclasses.replace(RICH, arch=arch, hash_style=hash_style, sections=sections)

    facts = read_elf("demo/x.so", spec.build())

    assert (facts.path, facts.arch, facts.kind) == ("demo/x.so", arch, ElfKind.SHARED)
    assert facts.needed == RICH.needed
    assert facts.soname == "libdemo.so.2"
    assert facts.runpath == ("$ORIGIN/../demo.libs", "/opt/lib")
    assert facts.rpath == ()
    assert facts.wants == (
        SymbolWant(name="memcpy", version="GLIBC_2.14", library="libc.so.6"),
        SymbolWant(name="foo", version="FOO_1", library="libfoo.so.1"),
        SymbolWant(name="maybe", weak=True),
    )
    assert dict(facts.version_needs) == {"libc.so.6": ("GLIBC_2.14",), "libfoo.so.1": ("FOO_1",)}
    assert facts.exports == RICH.exports
    assert facts.version_defs == ("V_1", "V_2")
    assert facts.exports_init == ("_x",)
    assert facts.has_sections is sections


def test_flags_and_segments() -> None:
    facts = read(
        stack="rwx",
        isa=3,
        flags=0x10,
        text_relocations=True,
        relr=True,
        tls_size=40,
        align=0x4000,
        loads=(Segment(align=0x10000, flags=6, address=0x7000, offset=0x20, size=8),),
    )

    assert facts.executable_stack
    assert facts.isa_level == 3
    assert facts.static_tls
    assert facts.tls_size == 40
    assert facts.text_relocations
    assert facts.relr
    assert facts.loads[0].align == 0x4000
    assert facts.loads[1] == LoadSegment(
        offset=0x20, address=0x7000, file_size=8, memory_size=8, align=0x10000, flags="rw-"
    )


def test_a_plain_file_has_none_of_it() -> None:
    facts = read()

    flags = (facts.executable_stack, facts.static_tls, facts.text_relocations, facts.relr)
    assert not any(flags)
    assert (facts.isa_level, facts.tls_size, facts.debug_size) == (0, 0, 0)
    assert facts.has_stack_header
    assert not facts.symbol_table


@pytest.mark.parametrize(
    ("arch", "executable"),
    [
        ("x86_64", True),
        ("i686", True),
        ("armv7l", True),
        ("s390x", True),
        ("aarch64", False),
        ("ppc64le", False),
        ("riscv64", False),
        ("loongarch64", False),
    ],
)
def test_an_absent_stack_header_means_what_the_architecture_says(arch: str, executable: bool) -> None:  # noqa: FBT001
    facts = read(arch=arch, stack="absent")

    assert facts.executable_stack is executable
    assert not facts.has_stack_header


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"e_type": 3}, ElfKind.SHARED),
        ({"e_type": 2}, ElfKind.PROGRAM),
        ({"e_type": 2, "dynamic": False}, ElfKind.PROGRAM),
        ({"e_type": 3, "interpreter": "/lib64/ld-linux-x86-64.so.2"}, ElfKind.PROGRAM),
        ({"e_type": 3, "flags_1": 0x08000000}, ElfKind.PROGRAM),
        (
            {"e_type": 3, "interpreter": "/lib64/ld-linux-x86-64.so.2", "soname": "libc.so.6"},
            ElfKind.SHARED,
        ),
        ({"e_type": 1}, ElfKind.OBJECT),
        ({"e_type": 4}, ElfKind.OTHER),
    ],
)
def test_kinds(fields: dict[str, object], kind: ElfKind) -> None:
    facts = read(**fields)

    assert facts.kind is kind
    assert facts.is_shared is (kind is ElfKind.SHARED)


def test_machines_without_a_platform_tag() -> None:
    assert read(arch="arm").arch == "arm"  # soft float: no armv7l
    assert read(arch="bpf").arch == "bpf"


def test_what_strip_would_have_taken() -> None:
    facts = read(symtab=True, debug=True)

    assert facts.symbol_table
    assert facts.debug_sections == (".debug_info",)
    assert facts.debug_size == 100


def test_strings_that_code_may_look_for() -> None:
    text = (
        b'\0libGL.so.1\0notlib.so\0/etc/ssl/cert.pem\0OPENSSLDIR: "/opt/x/ssl"\0see /etc/ssl/cert.pem\0'
    )

    facts = read(rodata=text, wants=(Want("dlopen", "GLIBC_2.2.5", "libc.so.6"),))

    assert facts.libraries_by_name == ("libGL.so.1",)
    assert facts.baked_paths == ("/etc/ssl/cert.pem", "/opt/x/ssl")
    assert read(rodata=text).libraries_by_name == ()  # calls no dlopen: nothing to look for


@pytest.mark.parametrize(
    ("export", "module"),
    [
        ("PyInit_demo", "demo"),
        ("PyInit_demo@V_1", "demo"),
        ("PyModExport_demo", "demo"),
        ("PyInitU__gre_xna1l", "_größe"),
        ("_cffi_pypyinit_demo", "demo"),
        ("PyInitU_kiesel", "kiesel"),  # not punycode after all: taken as it stands
    ],
)
def test_init_functions(export: str, module: str) -> None:
    assert read(exports=(export,)).exports_init == (module,)


def test_an_empty_search_path_element_is_kept() -> None:
    assert read(rpath="$ORIGIN::/x").rpath == ("$ORIGIN", "", "/x")


def test_damage_says_where() -> None:
    sound = RICH.build()
    entry = re.search(rb"\x06\0{7}..\x01\0{5}", sound, re.DOTALL)  # DT_SYMTAB and its address
    assert entry
    data = sound[: entry.start() + 8] + b"\xff" * 8 + sound[entry.end() :]

    with pytest.raises(MalformedElfError, match=r"demo/x\.so: a damaged ELF file") as caught:
        read_elf("demo/x.so", data)

    assert "lies in no segment" in caught.value.why


@pytest.mark.parametrize("size", [4, 16, 40, 64, 200, 500])
def test_a_file_cut_short(size: int) -> None:
    with pytest.raises(MalformedElfError):
        read_elf("x.so", RICH.build()[:size])


def test_what_a_compiler_makes(tmp_path: Path) -> None:
    extra = "#include <math.h>\n__thread int counter;"
    extension = Extension(
        module="_real",
        extra=extra,
        body="counter++; if (cos((double)counter) > 2) return NULL;",
        flags=("-Wl,--no-as-needed", "-lm", "-g", "-Wl,-z,execstack", "-Wl,-rpath,$ORIGIN/lib"),
    )

    facts = read_elf("_real.so", compile_extension(tmp_path, extension))

    assert facts.kind is ElfKind.SHARED
    assert facts.exports_init == ("_real",)
    assert "libm.so.6" in facts.needed
    assert facts.executable_stack
    assert "$ORIGIN/lib" in (*facts.rpath, *facts.runpath)
    assert facts.tls_size >= 4
    assert ".debug_info" in facts.debug_sections
    assert any(w.name == "PyModule_Create2" and not w.version for w in facts.wants)
    assert any(w.name == "cos" and w.library == "libm.so.6" for w in facts.wants)
    assert {load.flags for load in facts.loads} >= {"r-x", "rw-"}


_IRELATIVE = [
    ("x86_64", 37),
    ("i686", 42),
    ("aarch64", 1032),
    ("armv7l", 160),
    ("s390x", 61),
    ("ppc64le", 248),
    ("riscv64", 58),
]  # elf.h


@pytest.mark.parametrize(("arch", "number"), _IRELATIVE)
def test_indirect_functions_by_their_relocation(arch: str, number: int) -> None:
    assert read(arch=arch, relocation=number).indirect_functions
    assert not read(arch=arch, relocation=number - 1).indirect_functions


def _program(folder: Path) -> bytes:
    (folder / "p.c").write_text("int main(void) { return 0; }")
    subprocess.run(["cc", "-no-pie", "p.c", "-o", "p"], check=True, cwd=folder)
    return (folder / "p").read_bytes()


def test_a_page_belongs_to_the_segment_that_is_mapped_last(tmp_path: Path) -> None:
    """As patchelf leaves a program: another segment begins in the page that DT_DEBUG lies in."""
    data = bytearray(_program(tmp_path))
    assert not read_elf("p", bytes(data)).writes_to_read_only
    start, rows = struct.unpack_from("<32xQ16xH", data)
    heads = [struct.unpack_from("<IIQQQQQQ", data, start + 56 * row) for row in range(rows)]
    address = next(head[3] for head in heads if head[0] == PT_DYNAMIC)
    last = start + 56 * (rows - 1)  # PT_GNU_RELRO
    struct.pack_into("<IIQQQQQQ", data, last, PT_LOAD, 4, 0, address, 0, 512, 512, 4096)

    assert read_elf("p", bytes(data)).writes_to_read_only


_CHOICE = "static int one(void) { return 1; } static int (*choose(void))(void) { return one; }"


@pytest.mark.parametrize(
    ("declaration", "indirect"),
    [
        ('static int chosen(void) __attribute__((ifunc("choose")));', True),
        ('int chosen(void) __attribute__((ifunc("choose")));', True),
        ("static int chosen(void) { return choose()(); }", False),
    ],
    ids=["relocation", "symbol", "plain"],
)
def test_what_a_compiler_makes_of_indirect_functions(
    tmp_path: Path, declaration: str, *, indirect: bool
) -> None:
    source = f"{_CHOICE} {declaration} int mine(void) {{ return chosen(); }}"
    data = compile_shared(tmp_path, "sample", source, flags=["-O1"])
    assert read_elf("sample.so", data).indirect_functions is indirect


def test_filters_are_read_beside_the_needs(tmp_path: Path) -> None:
    flags = ["-Wl,--filter=libreal.so.1", "-Wl,--auxiliary=libperhaps.so.1"]
    facts = read_elf("s.so", compile_shared(tmp_path, "s", "int mine(void) { return 1; }", flags=flags))
    assert facts.filters == ("libreal.so.1",)
    assert not {"libreal.so.1", "libperhaps.so.1"} & set(facts.needed)


def test_a_real_library_without_hash_or_sections_reads_the_same(tmp_path: Path) -> None:
    source = "extern int other(void); int mine(void) { return other(); }"
    plain = compile_shared(tmp_path, "plain", source, flags=["-Wl,--hash-style=gnu"])
    stripped = bytearray(plain)
    stripped[40:48] = bytes(8)  # e_shoff
    stripped[60:62] = bytes(2)  # e_shnum

    one, other = read_elf("x.so", plain), read_elf("x.so", bytes(stripped))

    assert not other.has_sections
    assert one.wants == other.wants
    assert one.exports == other.exports == ("mine",)


@pytest.mark.parametrize(
    ("before", "found"),
    [
        (b"", ("/etc/ssl/cert.pem",)),
        (b"word\0", ("/etc/ssl/cert.pem",)),
        (b"x" * 300, ()),  # one string, longer than a path that people would write
    ],
)
def test_a_path_at_the_start_of_its_section_is_seen(before: bytes, found: tuple[str, ...]) -> None:
    data = b"\0other section\0" + before + b"/etc/ssl/cert.pem\0"
    start = len(b"\0other section\0")
    assert baked_paths(data, [(start, len(data) - start)]) == found
