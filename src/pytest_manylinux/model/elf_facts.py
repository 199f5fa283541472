"""What is read of an ELF file: what it needs, wants and exports, and how it wants to be loaded."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

from packaging.version import InvalidVersion, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolWant:
    """An undefined dynamic symbol of an ELF file; `version` such as `GLIBC_2.14`, or empty."""

    name: str
    version: str = ""
    library: str = ""
    weak: bool = False


LINUX_MACHINES = frozenset(
    f"EM_{name}"
    for name in (
        *("386", "X86_64", "ARM", "AARCH64", "PPC", "PPC64", "S390", "RISCV", "LOONGARCH"),
        *("MIPS", "SPARC", "SPARCV9", "IA_64", "ALPHA", "SH", "PARISC", "68K"),
    )
)
"""Machines that Linux runs on. ELF files for others (BPF, CUDA, AMD GPUs) are data to every loader."""


class ElfKind(enum.Enum):
    """What an ELF file is for; from e_type, PT_INTERP, DT_SONAME and DF_1_PIE."""

    SHARED = "shared"  # a shared library or an extension module
    PROGRAM = "program"  # an executable, position independent or not, static or not
    OBJECT = "object"  # a relocatable object (`.o`): linked by tools, never loaded
    OTHER = "other"  # core dumps, debug-only files and what else is never loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSegment:
    """A PT_LOAD program header; sizes, offset and alignment in bytes, `flags` such as `r-x`."""

    offset: int
    address: int
    file_size: int
    memory_size: int
    align: int
    flags: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfFacts:
    """What one ELF file inside a wheel says of itself.

    `path` is relative to the wheel's root, with forward slashes. `arch` is the field's name
    (`x86_64`, `i686`, `aarch64`, …; for machines without a platform tag the lower-case rest of its
    EM_ name, such as `bpf`, or `arm` for ARM that is not armv7l hard-float). `is_shared` is
    `kind is ElfKind.SHARED`.

    `needed` are the libraries of DT_NEEDED, `filters` those of DT_FILTER, which glibc opens as well and
    takes the file's symbols from (gABI, "Dynamic Section"); musl does not know the latter.
    `auxiliaries` are those of DT_AUXILIARY: the same, but the loader does without one that is missing.

    Search paths: `rpath` is what DT_RPATH says, `runpath` what DT_RUNPATH says, split at colons,
    `$ORIGIN` unexpanded; the loader ignores `rpath` where `runpath` is given.

    Symbols, from the dynamic table (never from debug symbols): `wants` are the undefined ones,
    `version_needs` the versions asked of each library, `exports` the defined global and weak ones
    (`name` or `name@VERSION`), `version_defs` the versions that the file itself defines.
    `exports_init` are the module names of its `PyInit_`, `PyInitU_`, `PyModExport_` and
    `_cffi_pypyinit_` symbols.

    Stack: `executable_stack` is true where PT_GNU_STACK has the X flag, or is absent
    (`has_stack_header` false) on an architecture where glibc takes absence for executable.

    `static_tls` is DF_STATIC_TLS (initial-exec thread storage: may not be loadable late), `tls_size`
    the bytes of PT_TLS; `text_relocations` DT_TEXTREL or DF_TEXTREL; `relr` DT_RELR.
    `indirect_functions`: a symbol or a relocation wants a resolver called (IFUNC).
    `writes_to_read_only`: a loader that starts the program writes to memory mapped for reading only.
    `os_abi` are EI_OSABI and EI_ABIVERSION; `no_open` is DF_1_NOOPEN: dlopen is not to load it.
    `isa_level` is what the GNU property X86_ISA_1_NEEDED states: 1 (baseline) to 4 (x86-64-v4), 0
    if it states nothing. `loads` are the PT_LOAD segments, for page-size checks.

    `has_sections`: the section headers can be read. `symbol_table`: .symtab is still there;
    `debug_sections` are the names of .debug_* and .zdebug_* sections, `debug_size` their bytes.
    `libraries_by_name` are names like `libfoo.so.1` among the read-only strings of a file that
    calls dlopen (it may look for them at run time); `baked_paths` absolute paths among the strings
    that OpenSSL-like libraries look at for certificates and configuration. `library_versions` are
    (library, version) of known libraries that are linked into the file, or that it is, by their texts.
    `numpy_headers` is the major version of NumPy that it was compiled for, 0 without NumPy's C API;
    `imports_array` tells that it compares NumPy's ABI with its own as soon as it is imported.
    `system_calls` are calls that x86_64 code makes by number rather than by a function of the C
    library, of those in model/system_calls.py, by name.
    """

    path: str
    size: int
    arch: str
    bits: int
    is_shared: bool
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    interpreter: str = ""
    wants: tuple[SymbolWant, ...] = ()
    version_needs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    exports_init: tuple[str, ...] = ()
    executable_stack: bool = False
    kind: ElfKind = ElfKind.SHARED
    machine: str = ""
    exports: tuple[str, ...] = field(default=(), repr=False)
    version_defs: tuple[str, ...] = ()
    loads: tuple[LoadSegment, ...] = field(default=(), repr=False)
    has_stack_header: bool = True
    static_tls: bool = False
    tls_size: int = 0
    text_relocations: bool = False
    relr: bool = False
    isa_level: int = 0
    has_sections: bool = True
    symbol_table: bool = False
    debug_sections: tuple[str, ...] = ()
    debug_size: int = 0
    libraries_by_name: tuple[str, ...] = ()
    baked_paths: tuple[str, ...] = ()
    numpy_headers: int = 0
    imports_array: bool = False
    library_versions: tuple[tuple[str, str], ...] = ()
    system_calls: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    auxiliaries: tuple[str, ...] = ()
    indirect_functions: bool = False
    writes_to_read_only: bool = False
    os_abi: tuple[int, int] = (0, 0)
    no_open: bool = False

    @property
    def is_static_program(self) -> bool:
        """Whether it is a program that names no loader (PT_INTERP), so that none is involved."""
        return self.kind is ElfKind.PROGRAM and not self.interpreter

    @property
    def runs_on_linux(self) -> bool:
        """Whether there is a Linux for its machine; what is not known is taken for one."""
        return not self.machine or self.machine in LINUX_MACHINES


_ENDLESS, _BEYOND = re.compile(r"\d{10,}"), "999999999"  # no library comes near; Python has a limit


def version_of(number: str) -> Version | None:
    """The number of a symbol's version, such as 2.34; None for words such as PRIVATE."""
    try:
        return Version(_ENDLESS.sub(_BEYOND, number))
    except InvalidVersion:
        return None
