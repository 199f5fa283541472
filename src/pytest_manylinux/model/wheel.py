"""Wheels as files, and the facts read from one: nothing here judges."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from packaging.tags import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel file: its bytes' digest and what its name says.

    `name` is the normalized project name; `tags` the expanded compatibility tags of the file name.
    """

    path: Path
    sha256: str
    size: int
    name: str
    version: str
    build: str
    tags: frozenset[Tag]

    @property
    def filename(self) -> str:
        """The file's name, with tags."""
        return self.path.name

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags, sorted."""
        return tuple(sorted({tag.platform for tag in self.tags}))

    @property
    def is_pure(self) -> bool:
        """Whether the name says `any`: no platform, no native code."""
        return all(tag.platform == "any" for tag in self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolWant:
    """An undefined dynamic symbol of an ELF file; `version` such as `GLIBC_2.14`, or empty."""

    name: str
    version: str = ""
    library: str = ""
    weak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfFacts:
    """What one ELF file inside a wheel says of itself.

    `path` is relative to the wheel's root, with forward slashes. `arch` is the field's name
    (`x86_64`, `i686`, `aarch64`, …). `exports_init` are the module names of its `PyInit_` symbols.
    `executable_stack`: PT_GNU_STACK has the X flag, or is absent on an architecture where absence
    means executable.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFacts:
    """Everything read once from a wheel.

    `top_level` are importable names backed by files (packages, modules, extension modules;
    namespace packages are entered, so `ns.pkg`). `extension_modules` are dotted names of ELF files
    that export their own `PyInit_`. `problems` are breaches of the wheel specification, a sentence
    each, that did not stop the reading.
    """

    wheel: Wheel
    metadata_name: str
    metadata_version: str
    requires_python: str = ""
    requires_dist: tuple[str, ...] = ()
    root_is_purelib: bool = False
    files: tuple[str, ...] = field(default=(), repr=False)
    elf: tuple[ElfFacts, ...] = ()
    top_level: tuple[str, ...] = ()
    extension_modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What auditwheel's own analysis says of a wheel, on the host.

    `promised` are the platform tags in the name, `deserved` the best one that the bytes keep
    (auditwheel's overall tag). `true` tells whether every promised tag is kept. `reasons` say which
    file and which symbol or library decides the tag, a line each.
    """

    promised: tuple[str, ...]
    deserved: str
    true: bool
    reasons: tuple[str, ...] = ()
    tool: str = ""
