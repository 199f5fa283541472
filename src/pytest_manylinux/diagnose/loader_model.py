"""What the distro's loader would do with a wheel's files: who loads what, found where.

The rules are those of ld.so(8): a file's needs are searched in the DT_RPATH of the file and of those
that loaded it, unless the file has a DT_RUNPATH, which then counts alone and for that file only; a
library that is loaded already under that name is not searched again. The loader goes breadth first.
What the wheel does not have in reach must come from the system (or has been loaded before by code).
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.wheel import ElfFacts, ElfKind, WheelFacts

_ORIGIN = re.compile(r"\$(?:ORIGIN|\{ORIGIN\})")


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


@once_per_wheel
def loadings(facts: WheelFacts) -> tuple[Loading, ...]:
    """What each extension module and program of the wheel loads."""
    shelf = {installed_path(elf.path): elf for elf in facts.elf}
    modules = {path for _, path in facts.extension_paths}
    programs = set(facts.programs)
    roots = (elf for elf in facts.elf if elf.path in modules or elf.path in programs)
    return tuple(_load(elf, shelf, program=elf.path in programs) for elf in roots)


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
def unreached(facts: WheelFacts) -> dict[str, tuple[str, ...]]:
    """Libraries that the wheel does not bring within reach, and the files that ask for them."""
    found: dict[str, dict[str, None]] = {}
    for loading in loadings(facts):
        for need in loading.unreached:
            found.setdefault(need.library, {})[need.asker] = None
    return {library: tuple(askers) for library, askers in found.items()}


def is_loader(library: str) -> bool:
    """Whether a soname is the dynamic loader's own, which every system has."""
    return library.startswith(("ld-linux", "ld64.so"))


def installed_path(path: str) -> str:
    """Where a file of the wheel lies after installation, seen from site-packages."""
    head, _, rest = path.partition("/")
    if not head.endswith(".data"):
        return path
    scheme, _, inside = rest.partition("/")
    return inside if scheme in {"platlib", "purelib"} else f"../{scheme}/{inside}"


@dataclass(slots=True)
class _Loaded:
    elf: ElfFacts
    folder: str
    loader: _Loaded | None


def _load(root: ElfFacts, shelf: dict[str, ElfFacts], *, program: bool) -> Loading:
    first = _Loaded(root, posixpath.dirname(installed_path(root.path)), None)
    names: set[str] = {root.soname or root.path}
    waiting, files, missing = deque([first]), [root], []
    while waiting:
        loaded = waiting.popleft()
        for library in loaded.elf.needed:
            if library in names:
                continue
            names.add(library)
            place = _find(library, loaded, shelf)
            if place is None:
                missing.append(Need(library, loaded.elf.path))
                continue
            found = shelf[place]
            names.add(found.soname or library)
            files.append(found)
            waiting.append(_Loaded(found, posixpath.dirname(place), loaded))
    return Loading(root, program, tuple(files), tuple(missing))


def _find(library: str, asker: _Loaded, shelf: dict[str, ElfFacts]) -> str | None:
    for folder in _folders(asker):
        place = posixpath.normpath(posixpath.join(folder, library))
        found = shelf.get(place)
        if found is not None and (found.arch, found.bits) == (asker.elf.arch, asker.elf.bits):
            return place
    return None


def _folders(asker: _Loaded) -> Iterator[str]:
    if asker.elf.runpath:
        yield from _expanded(asker.elf.runpath, asker.folder)
        return
    link: _Loaded | None = asker
    while link is not None:
        if not link.elf.runpath:
            yield from _expanded(link.elf.rpath, link.folder)
        link = link.loader


def _expanded(parts: tuple[str, ...], origin: str) -> Iterator[str]:
    """Folders of the wheel only: absolute ones are the build machine's, or the system's."""
    for part in parts:
        if _ORIGIN.search(part):
            yield posixpath.normpath(_ORIGIN.sub(lambda _: origin or ".", part))
