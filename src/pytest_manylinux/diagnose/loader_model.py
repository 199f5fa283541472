"""What the distro's loader would do with a wheel's files: who loads what, found where.

The rules are those of ld.so(8): a file's needs are searched in the DT_RPATH of the file and of those
that loaded it, unless the file has a DT_RUNPATH, which then counts alone and for that file only; a
library that is loaded already under that name is not searched again. A need with a slash is a path
and not searched at all. `$ORIGIN` and `$LIB` stand for folders in both. The loader goes breadth first.
What the wheel does not have in reach must come from the system (or has been loaded before by code).

musl's loader differs (ldso/dynlink.c, load_library): DT_RPATH and DT_RUNPATH are one, and count for
what a file's needs need too; it takes the names of libc's parts for itself.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pytest_manylinux.diagnose.api import once_per_wheel
from pytest_manylinux.diagnose.modules import needs_others
from pytest_manylinux.inspect.names import python_of_folder
from pytest_manylinux.model.distro import DEBIAN_TRIPLETS, Target
from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind
from pytest_manylinux.model.wheel import SITE, Wheel, WheelFacts, environment_path

# A token ends where no identifier could go on (glibc, elf/dl-load.c, is_dst); musl does not look.
_ORIGIN = re.compile(r"\$(?:ORIGIN(?!\w)|\{ORIGIN\})", re.ASCII)
_ORIGIN_ON_MUSL = re.compile(r"\$(?:ORIGIN|\{ORIGIN\})")
_LIB = re.compile(r"\$(?:LIB(?!\w)|\{LIB\})", re.ASCII)
# What $LIB stands for (DL_DST_LIB of each distro's glibc): the multiarch folder where there is one.
_MULTIARCH = frozenset({"debian", "ubuntu", "python"})
_ONE_FOLDER = frozenset({"archlinux"})
# Where an environment has its modules, seen from its prefix; the version in between does not matter.
_SITE = "lib/python/site-packages"


@dataclass(frozen=True, slots=True)
class Need:
    """A library that a file asks for and that is not in reach inside the wheel."""

    library: str
    asker: str


@dataclass(frozen=True, slots=True)
class Loading:
    """An extension module or program, and what it brings along; `files` begins with `root`.

    `unreached` are the needs that the wheel does not meet: the system's, and lost ones.
    """

    root: ElfFacts
    program: bool
    files: tuple[ElfFacts, ...]
    unreached: tuple[Need, ...]


def loadings(facts: WheelFacts, target: Target | None = None) -> tuple[Loading, ...]:
    """What each extension module and program of the wheel loads, on a target or on most distros.

    A module that only a `.pth` of a required project can make importable counts if the wheel requires
    any project, for the Python whose folder it lies in.
    """
    folder, musl = lib_folder(target), _is_for_musl(facts, target)
    known = _loadings(facts)
    if (folder, musl) not in known:
        modules = {path for _, path in facts.extension_paths}
        programs = set(facts.programs)
        roots = (
            elf
            for elf in facts.elf
            if elf.path in modules or (elf.path in programs and _is_for(elf, facts.wheel))
        )
        loader = _Loader(_shelf(facts), folder, musl=musl)
        known[folder, musl] = tuple(loader.load(elf, program=elf.path in programs) for elf in roots)
    found = known[folder, musl]
    if not _has_other_folders(facts):
        return found
    return tuple(one for one in found if _is_in_reach(one.root.path, facts, target))


@once_per_wheel
def _has_other_folders(facts: WheelFacts) -> bool:
    """Whether a file lies in a folder that only one Python searches, and that by a `.pth` alone."""
    return any(python_of_folder(elf.path) for elf in facts.elf)


def _is_in_reach(path: str, facts: WheelFacts, target: Target | None) -> bool:
    version = python_of_folder(path)
    if not version:
        return True
    return needs_others(facts) and (target is None or target.interpreter.version.dotted == version)


def _is_for_musl(facts: WheelFacts, target: Target | None) -> bool:
    """By the target; without one by the wheel's name."""
    if target is not None:
        return target.distro.libc.is_musl()
    return all(tag.startswith("musllinux") for tag in facts.wheel.platforms)


def _is_for(elf: ElfFacts, wheel: Wheel) -> bool:
    """Whether a program is for a machine of the wheel's name; others are data there."""
    return wheel.is_pure or any(tag.endswith(f"_{elf.arch}") for tag in wheel.platforms)


def opened_by_code(
    facts: WheelFacts, target: Target, *, always: bool
) -> tuple[tuple[Loading, ...], ...]:
    """The wheel's libraries that its Python code opens by ctypes, with what they load.

    Of each group the code takes one. With `always` what importing the wheel opens whatever the
    circumstances, a group for each name; else all that it may open.
    """
    loader = _Loader(_shelf(facts), lib_folder(target), musl=target.distro.libc.is_musl())
    modules = {path for _, path in facts.extension_paths}
    shared = [
        elf
        for elf in facts.elf
        if elf.kind is ElfKind.SHARED and elf.arch == target.arch and elf.path not in modules
    ]
    names = [(effect.name,) for effect in facts.on_import if effect.opens]
    groups = [[elf for elf in shared if _is_called(elf.path, n)] for n in names]
    if not always:
        groups = [[elf] for elf in shared if _is_called(elf.path, facts.opened_by_path)]
    return tuple(tuple(loader.load(elf, program=False) for elf in group) for group in groups if group)


def lone_loadings(facts: WheelFacts, target: Target) -> tuple[Loading, ...]:
    """What each library loads of a wheel that consists of libraries alone; else none."""
    loader = _Loader(_shelf(facts), lib_folder(target), musl=target.distro.libc.is_musl())
    return tuple(loader.load(elf, program=False) for elf in facts.lone_libraries(target.arch))


def is_optional(path: str, facts: WheelFacts) -> bool:
    """Whether a library of a wheel of libraries alone may do without where others can be opened.

    A plug-in, which no program can be linked with, or one of those that the wheel's code picks from.
    """
    return bool(facts.opened_by_path) or not posixpath.basename(path).startswith("lib")


def _is_called(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(posixpath.basename(path), pattern) for pattern in patterns)


@once_per_wheel
def _shelf(facts: WheelFacts) -> dict[str, ElfFacts]:
    """The ELF files by where they lie after installation."""
    return {installed_path(elf.path): elf for elf in facts.elf}


@once_per_wheel
def _loadings(facts: WheelFacts) -> dict[tuple[str, bool], tuple[Loading, ...]]:
    """By what `$LIB` stands for (where no file uses it, all are the same), and for musl or not."""
    del facts
    return {}


def lib_folder(target: Target | None) -> str:
    """What `$LIB` stands for on a target's distro; without one as on Debian's kind for x86_64."""
    if target is None:
        return "lib/x86_64-linux-gnu"
    if target.distro.family in _MULTIARCH:
        return f"lib/{DEBIAN_TRIPLETS[target.arch]}"
    narrow = target.arch in {"i686", "armv7l"} or target.distro.family in _ONE_FOLDER
    return "lib" if narrow else "lib64"


@once_per_wheel
def loaded_files(facts: WheelFacts) -> tuple[ElfFacts, ...]:
    """The files that extension modules and programs load, themselves included; each once.

    Other libraries in a wheel (plug-ins, code for other machines) may never be loaded. Where nothing
    is there to load them, all shared files count.
    """
    found = {elf.path: elf for loading in loadings(facts) for elf in loading.files}
    if found:
        return tuple(found.values())
    return tuple(elf for elf in facts.elf if elf.kind is ElfKind.SHARED)


@once_per_wheel
def linked_files(facts: WheelFacts) -> tuple[ElfFacts, ...]:
    """Of the loaded files those that the distro's loader maps and relocates.

    A static program, also a position-independent one, is mapped by the kernel and relocates itself, by
    the C library that it holds.
    """
    return tuple(elf for elf in loaded_files(facts) if not elf.is_static_program)


def unreached(
    facts: WheelFacts, target: Target | None = None, *, wrapped: bool = True
) -> dict[str, tuple[str, ...]]:
    """Libraries that the wheel does not bring within reach, and the files that ask for them.

    Without `wrapped` those that only programs inside a package miss are left out: a wrapper may start
    them with a search path of its own (LD_LIBRARY_PATH).
    """
    found: dict[str, dict[str, None]] = {}
    for loading in loadings(facts, target):
        if not wrapped and loading.program and not is_command(loading.root.path):
            continue
        for need in loading.unreached:
            found.setdefault(need.library, {})[need.asker] = None
    return {library: tuple(askers) for library, askers in found.items()}


def is_loader(library: str) -> bool:
    """Whether a soname is the dynamic loader's own, which every system has."""
    return library.startswith(("ld-linux", "ld64.so"))


def is_of_musl(library: str) -> bool:
    """Whether musl's loader takes a soname for itself, whatever it ends with: `libm.so.6` too."""
    return library.startswith(_OF_MUSL) or library.startswith("ld-musl-")


_OF_MUSL = tuple(f"lib{name}." for name in ("c", "pthread", "rt", "m", "dl", "util", "xnet"))


def is_command(path: str) -> bool:
    """Whether a file of the wheel is put on PATH, so that users start it without a wrapper."""
    return environment_path(path).startswith("bin/")


def installed_path(path: str) -> str:
    """Where a file of the wheel lies after installation, seen from the environment's prefix."""
    place = environment_path(path)
    return f"{_SITE}{place.removeprefix(SITE)}" if place.startswith(f"{SITE}/") else place or path


@dataclass(slots=True)
class _Loaded:
    elf: ElfFacts
    folder: str
    loader: _Loaded | None


class _Loader:
    """The loader before a wheel's ELF files, by the places where they are installed."""

    def __init__(self, shelf: dict[str, ElfFacts], lib: str, *, musl: bool = False) -> None:
        self._shelf = shelf
        self._lib = lib
        self._musl = musl

    def load(self, root: ElfFacts, *, program: bool) -> Loading:
        """Everything that a file brings along."""
        first = _Loaded(root, posixpath.dirname(installed_path(root.path)), None)
        names: set[str] = {root.soname or root.path}
        waiting, files, missing = deque([first]), [root], []
        while waiting:
            loaded = waiting.popleft()
            filters = () if self._musl else loaded.elf.filters
            for library in (*loaded.elf.needed, *filters):
                if library in names:
                    continue
                names.add(library)
                if self._musl and is_of_musl(library):
                    missing.append(Need(library, loaded.elf.path))
                    continue
                place = self._find(library, loaded)
                if place is None:
                    missing.append(Need(library, loaded.elf.path))
                    continue
                found = self._shelf[place]
                names.add(found.soname or library)
                files.append(found)
                waiting.append(_Loaded(found, posixpath.dirname(place), loaded))
        return Loading(root, program, tuple(files), tuple(missing))

    def _find(self, library: str, asker: _Loaded) -> str | None:
        folders = self._folders(asker)
        if "/" in library:  # a path, which is expanded and not searched
            folders, library = self._expanded((library,), asker.folder), ""
        for folder in folders:
            place = posixpath.normpath(posixpath.join(folder, library))
            found = self._shelf.get(place)
            if found is not None and (found.arch, found.bits) == (asker.elf.arch, asker.elf.bits):
                return place
        return None

    def _folders(self, asker: _Loaded) -> Iterator[str]:
        if asker.elf.runpath and not self._musl:
            yield from self._expanded(asker.elf.runpath, asker.folder)
            return
        link: _Loaded | None = asker
        while link is not None:
            if self._musl or not link.elf.runpath:
                yield from self._expanded(link.elf.runpath or link.elf.rpath, link.folder)
            link = link.loader

    def _expanded(self, parts: tuple[str, ...], origin: str) -> Iterator[str]:
        """Places in the environment only: absolute ones are the build machine's, or the system's."""
        token = _ORIGIN_ON_MUSL if self._musl else _ORIGIN
        for part in parts:
            if token.match(part):
                there = token.sub(lambda _: origin or ".", part)
                yield posixpath.normpath(_LIB.sub(lambda _: self._lib, there))
