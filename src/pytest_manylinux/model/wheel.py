"""Wheels as files, the facts read from one, and where its files lie once installed.

Nothing here judges. Rules of installation: the wheel specification on `.data` folders, and
sysconfig's scheme for virtual environments (programs in `bin`, data from the prefix on).
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass, field
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag

from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel file: its bytes' digest and what its name says.

    `name` is the normalized project name; `tags` the expanded compatibility tags of the file name;
    `variant` the label of a wheel variant (PEP 825), empty for other wheels.
    """

    path: Path
    sha256: str
    size: int
    name: str
    version: str
    build: str
    tags: frozenset[Tag]
    variant: str = ""

    @property
    def filename(self) -> str:
        """The file's name, with tags."""
        return self.path.name

    @property
    def plain_filename(self) -> str:
        """The file's name without a variant's label, as an installer takes it that knows none."""
        return (
            self.filename.removesuffix(f"-{self.variant}.whl") + ".whl"
            if self.variant
            else self.filename
        )

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags, sorted."""
        return tuple(sorted({tag.platform for tag in self.tags}))

    @property
    def is_pure(self) -> bool:
        """Whether the name says `any`: no platform, no native code."""
        return all(tag.platform == "any" for tag in self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiblingWheel:
    """A wheel that is taken for what requires its project, and the extras that it is required with.

    `compiled` tells that it is no wheel of the run's own: the run made it of an index's source, for
    want of a wheel there.
    """

    wheel: Wheel
    extras: tuple[str, ...] = ()
    compiled: bool = False

    def arguments(self, path: str) -> tuple[str, ...]:
        """What pip is given for it, if it lies at `path`, before any requirement that it meets.

        pip takes a file with extras for requirements with them, and one without for those without;
        asked with the one alone, it looks for the other in the index.
        """
        return (path, f"{path}[{','.join(self.extras)}]") if self.extras else (path,)


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """A file of a wheel as its bytes were read: size and SHA-256 in hexadecimal.

    The digest is empty where nothing was compared with RECORD, and for RECORD. `rewritten` tells that
    an installer rewrites the first line: a script that begins with `#!python`.
    """

    path: str
    size: int
    sha256: str = ""
    rewritten: bool = False


class FileContent(enum.Enum):
    """What a file that is called like native code holds; the words are for people."""

    NATIVE = "an ELF file"
    EMPTY = "empty"
    LFS_POINTER = "a Git LFS pointer"
    TEXT = "text"
    DAMAGED = "a damaged ELF file"
    OTHER = "no ELF file"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFile:
    """A file that some Python takes for an extension module by its name (PEP 3149).

    `name` is dotted; `suffix` is between the name and `.so` (`abi3`, `cpython-311-x86_64-linux-gnu`,
    empty for a plain `.so`). `inits` and `exports` tell whether it exports `PyInit_` and
    `PyModExport_` (PEP 793) of its own name, `pypy_init` the function that cffi's modules have instead
    where they are built for PyPy, which looks for it first (`load_extension_module` in its
    cpyext/api.py; cffi's recompiler.py).
    """

    path: str
    name: str
    suffix: str
    content: FileContent
    inits: bool = False
    exports: bool = False
    pypy_init: bool = False

    @property
    def has_init(self) -> bool:
        """Whether some Python can initialise it."""
        return self.inits or self.exports or self.pypy_init


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptFile:
    """A file that an installation puts on PATH: of `.data/scripts`, or of `.data/data/bin`.

    There, unlike in the former, a text that may not be executed is data, such as what scripts read in.
    `executable`: its mode lets it be executed, as installers read the archive. `interpreter` is what
    follows `#!` in its first line, `python` where installers put theirs; None if it has no such line.
    `byte_order_mark` tells that one stands before it. `native` tells that it is an ELF file.
    """

    path: str
    executable: bool
    interpreter: str | None = None
    byte_order_mark: bool = False
    native: bool = False

    @property
    def has_installers_line(self) -> bool:
        """Whether its first line is one that installers replace, which they do in `.data/scripts`."""
        in_scripts = self.path.partition("/")[2].startswith("scripts/")
        return in_scripts and self.interpreter is not None and self.interpreter.startswith("python")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxNeed:
    """A Python file that not every Python compiles which the wheel admits.

    `since` is the first minor version of Python 3 that does, None if none is known. Up to `refused_by`
    none does; with 0 nothing is known, and `message` says why.
    """

    path: str
    since: int | None
    refused_by: int
    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SbomComponent:
    """A component of a software bill of materials, as the document states it.

    `ref` is its bom-ref. `hashes` are (algorithm, hexadecimal digest), as CycloneDX spells algorithms
    (`SHA-256`); `files` are the places at which it says that it was found. `licensed` tells that it
    states a licence.
    """

    name: str
    version: str = ""
    purl: str = ""
    ref: str = ""
    hashes: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    licensed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SbomDocument:
    """A document of `.dist-info/sboms` (PEP 770), CycloneDX or SPDX in JSON.

    `subject` is what it is about, `tool` what wrote it. `problem` says why it could not be read; empty
    for one that could.
    """

    path: str
    problem: str = ""
    tool: str = ""
    subject: SbomComponent | None = None
    components: tuple[SbomComponent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportEffect:
    """Something that every import of a wheel's own names does, and the line of its source that does it.

    `name` is that of a module that is imported, or with `opens` a pattern of the file name of a library
    that is opened.
    """

    path: str
    line: int
    name: str
    opens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLine:
    """A line of a file that every start of Python reads: `.pth`, or `.start` (PEP 829).

    `folder`: it is a folder for sys.path; others are executed. `imports` are the dotted names that it
    imports first, `error` says why it is not code. `changes_search` tells that it may make modules
    importable which lie elsewhere. `fatal`: the file cannot be read, and Python ends over it.
    """

    path: str
    line: int
    text: str
    folder: bool = False
    imports: tuple[str, ...] = ()
    error: str = ""
    changes_search: bool = False
    fatal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFacts:
    """Everything read once from a wheel.

    `top_level` are importable names backed by files (packages, modules, extension modules;
    namespace packages are entered, so `ns.pkg`). `extension_modules` are dotted names of ELF files
    that export their own `PyInit_`. `programs` are the paths in the wheel of ELF programs,
    `scripts` the names that an installation puts on PATH (entry points and .data/scripts), of which
    `entry_points` are those that it makes of entry points, `entry_references` each of these with its
    object reference as it is written (`package.module:attribute [extra]`).
    `problems` are breaches of the wheel specification, a sentence each, that did not stop the
    reading; an ELF file that is damaged is named there and missing from `elf`.

    `files` are all files, in RECORD's form; `unpacked_size` is their bytes together. `generator`
    and `wheel_tags` are as in the WHEEL file. `extension_paths` are (dotted name, path in the
    wheel) of the extension modules, those included that only a `.pth` of a required project makes
    importable; `has_code` tells of Python code other than what makes folders packages. `contents` are
    all files with what they hold; none at a glance.
    `opened_by_path` are patterns of library file names that the wheel's Python code opens by ctypes;
    `*` for code that computes the name. `opens_to_all` tells that it may open a file so that all others
    find its symbols (RTLD_GLOBAL). `module_files` and `script_files` are what Python and the shell find
    by name, whatever is in them; `no_code` are other files called like libraries that are none.
    `mismatches` are files, a sentence each, whose bytes are not those that RECORD states.
    `packed_by` are the methods that files are packed with (`deflated`, `bzip2`), sorted.
    `syntax` are files that not every Python compiles which the wheel's tags and Requires-Python admit.
    `import_order` are the dotted names that packages' `__init__` files import, in their order.
    `on_import` is what importing its top-level names does whatever the circumstances. `foreign_imports`
    are imports, by code of the wheel, of its modules whose files are named for other Pythons than the
    tags'.
    `raises_without_library` tells that importing it opens a library, and raises where there is none.
    `start_lines` are what its `.pth` and `.start` files say.
    `extras` are the names of Provides-Extra, as they are written.
    `sboms` are the bills of materials that it carries, `licensed_libraries` the grafted libraries that
    its licence files speak of.
    """

    wheel: Wheel
    metadata_name: str
    metadata_version: str
    requires_python: str = ""
    requires_dist: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    root_is_purelib: bool = False
    files: tuple[str, ...] = field(default=(), repr=False)
    elf: tuple[ElfFacts, ...] = ()
    top_level: tuple[str, ...] = ()
    extension_modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    entry_references: tuple[tuple[str, str], ...] = ()
    unpacked_size: int = 0
    generator: str = ""
    wheel_tags: tuple[str, ...] = ()
    extension_paths: tuple[tuple[str, str], ...] = ()
    has_code: bool = False
    contents: tuple[WheelFile, ...] = field(default=(), repr=False)
    opened_by_path: tuple[str, ...] = ()
    opens_to_all: bool = False
    module_files: tuple[ModuleFile, ...] = ()
    script_files: tuple[ScriptFile, ...] = ()
    syntax: tuple[SyntaxNeed, ...] = ()
    import_order: tuple[str, ...] = ()
    on_import: tuple[ImportEffect, ...] = ()
    foreign_imports: tuple[ImportEffect, ...] = ()
    raises_without_library: bool = False
    start_lines: tuple[StartLine, ...] = ()
    mismatches: tuple[str, ...] = ()
    packed_by: tuple[str, ...] = ()
    no_code: tuple[tuple[str, FileContent], ...] = ()
    sboms: tuple[SbomDocument, ...] = ()
    licensed_libraries: tuple[str, ...] = ()

    def lone_libraries(self, arch: str) -> tuple[ElfFacts, ...]:
        """The shared libraries of a wheel that has nothing else to offer, for others to link or load.

        None where the wheel has modules or code. Libraries for other machines are data, and a file with
        an init function is a module, which code of the wheel picks by its path.
        """
        if self.extension_paths or self.has_code:
            return ()
        shared = (elf for elf in self.elf if elf.kind is ElfKind.SHARED and elf.arch == arch)
        return tuple(elf for elf in shared if not elf.exports_init)

    @property
    def grafted(self) -> tuple[ElfFacts, ...]:
        """The libraries of others that repair has put in (see is_grafted)."""
        return tuple(elf for elf in self.elf if is_grafted(elf.path) and elf.is_shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What auditwheel's own analysis says of a wheel, on the host.

    `promised` are the platform tags in the name, `deserved` the best one that the bytes keep
    (auditwheel's overall tag; `any` for a wheel without native code; empty where there is none,
    for instance because an ELF file lies in purelib). `true` tells whether every promised tag is
    kept. `reasons` say which file and which symbol or library decides the tag, a line each.
    `tool` is what judged, with its version.
    """

    promised: tuple[str, ...]
    deserved: str
    true: bool
    reasons: tuple[str, ...] = ()
    tool: str = ""


_GRAFTED = re.compile(r"(?:[^/]+/)*(?:[^/]*\.libs/.+|[^/]+-[0-9a-f]{8,}\.[^/]*so[^/]*)")


def is_grafted(path: str) -> bool:
    """Whether repair put a library there: in a folder `NAME.libs`, or with a digest in its name.

    auditwheel's `--lib-sdir` and the digest that it puts before the first dot (repair.py, copylib).
    """
    return _GRAFTED.fullmatch(path) is not None


SITE = "site-packages"
_STANDARD = re.compile(r"lib(?:64)?/(?:python|pypy)\d[\w.]*/(?P<rest>.+)")
_SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})


def environment_path(path: str) -> str:
    """Where a file of the wheel lies in an environment; all site folders are `site-packages/`.

    Empty for headers and for schemes that the specification does not know.
    """
    head, _, rest = path.partition("/")
    if not head.endswith(".data"):
        return f"{SITE}/{path}"
    scheme, _, inside = rest.partition("/")
    match scheme:
        case "purelib" | "platlib":
            return f"{SITE}/{inside}"
        case "scripts":
            return f"bin/{inside}"
        case "data":
            return _from_prefix(inside)
        case _:
            return ""


def is_in_standard_library(place: str) -> bool:
    """Whether an environment's path lies in the folder of Python's own modules."""
    return _STANDARD.fullmatch(place) is not None


def _from_prefix(path: str) -> str:
    match = _STANDARD.fullmatch(path)
    if match is None:
        return path
    folder, _, inside = match["rest"].partition("/")
    return f"{SITE}/{inside}" if folder in _SITE_FOLDERS and inside else path


RELEASES = 100
"""Bugfix releases that a Python's series is taken to have; CPython 3.8 came to 20."""


@functools.lru_cache(maxsize=4096)
def admitted_releases(requires_python: str, dotted: str) -> int:
    """How many of RELEASES a Requires-Python admits of a series such as `3.11`.

    All, if it is empty or cannot be read: pip passes over it then.
    """
    if not requires_python:
        return RELEASES
    try:
        admits = SpecifierSet(requires_python).contains
        return sum(admits(f"{dotted}.{patch}", prereleases=True) for patch in range(RELEASES))
    except ValueError:  # InvalidSpecifier is one, as is a number that is too long for Python
        return RELEASES
