"""A wheel's ELF files: by what they are called, by what they ask for, and where they do not belong.

Native code does not belong into a wheel for another machine, into purelib, or into a pure wheel.

Different libraries of one wheel that are called the same.

The loader takes a library that is in the process already under the soname that is asked for, and does
not look for another (elf/dl-load.c, _dl_map_object). So of two modules that each bring their own
`libs.so.1`, the one that is imported second gets the first one's, with the symbols of that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pytest_manylinux.diagnose.api import once_per_wheel
from pytest_manylinux.diagnose.loader_model import Loading, is_command, loadings
from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind
from pytest_manylinux.model.wheel import WheelFacts

_Files = tuple[ElfFacts, ...]

# What `auditwheel repair` calls a copy, the digest before the first dot: libfoo-0a1b2c3d.so.1
# for libfoo.so.1, libglib-2-0a1b2c3d.0.so.0 for libglib-2.0.so.0.
_COPY = re.compile(r"(?P<stem>.+)-[0-9a-f]{6,}(?P<rest>\.(?:[^/]+\.)?so(?:\.[\w.]+)?)")


def needing(library: str, facts: WheelFacts) -> _Files:
    """The wheel's ELF files whose DT_NEEDED names the library."""
    return _by_need(facts).get(library, ())


def files_named(library: str, facts: WheelFacts) -> _Files:
    """The wheel's ELF files that are called so."""
    return _by_name(facts).get(library, ())


def copies_of(belongs: Callable[[str], bool], facts: WheelFacts) -> _Files:
    """Copies of the libraries of which that holds, by the name that they had before repair."""
    return tuple(elf for elf in facts.elf if any(map(belongs, _old_names(elf))))


def grafted_copies(library: str, facts: WheelFacts) -> _Files:
    """Copies of the library under the name that repair gave them."""
    return _by_old_name(facts).get(library, ())


@once_per_wheel
def _by_need(facts: WheelFacts) -> dict[str, _Files]:
    return _indexed(facts, lambda elf: (*elf.needed, *elf.filters))


@once_per_wheel
def _by_name(facts: WheelFacts) -> dict[str, _Files]:
    return _indexed(facts, lambda elf: (elf.path.rpartition("/")[2],))


@once_per_wheel
def _by_old_name(facts: WheelFacts) -> dict[str, _Files]:
    return _indexed(facts, _old_names)


def _old_names(elf: ElfFacts) -> tuple[str, ...]:
    """What the file was called before repair; also with its version cut short, as sonames are."""
    match = _COPY.fullmatch(elf.path.rpartition("/")[2])
    if match is None:
        return ()
    full = match["stem"] + match["rest"]
    cuts = [full]
    while cuts[-1].rpartition(".")[2].isdigit():
        cuts.append(cuts[-1].rpartition(".")[0])
    return tuple(cuts)


def _indexed(facts: WheelFacts, keys: Callable[[ElfFacts], tuple[str, ...]]) -> dict[str, _Files]:
    found: dict[str, list[ElfFacts]] = {}
    for elf in facts.elf:
        for key in keys(elf):
            found.setdefault(key, []).append(elf)
    return {key: tuple(files) for key, files in found.items()}


_LOADABLE = frozenset({ElfKind.SHARED, ElfKind.PROGRAM})


@once_per_wheel
def strangers(facts: WheelFacts) -> tuple[tuple[ElfFacts, ...], bool]:
    """Files for an architecture that the name does not say; and whether one would be loaded.

    Those that would be are extension modules and commands (what a package starts it may choose by the
    machine), and any file where all are strangers; then only they are given. Code for processors that
    no Linux runs on (BPF, CUDA, AMD's) is data for whoever has the device, and never one of them.
    """
    platforms = [platform for platform in facts.wheel.platforms if platform != "any"]
    native = [elf for elf in facts.elf if elf.kind in _LOADABLE and elf.runs_on_linux]
    foreign = tuple(elf for elf in native if not any(tag.endswith(f"_{elf.arch}") for tag in platforms))
    if not platforms:
        return (), False
    modules = {path for _, path in facts.extension_paths}
    loaded = tuple(elf for elf in foreign if elf.path in modules or is_command(elf.path))
    if loaded or len(foreign) < len(native):
        return loaded or foreign, bool(loaded)
    return foreign, bool(foreign)


def in_purelib(facts: WheelFacts) -> tuple[ElfFacts, ...]:
    """Files in the wheel's `.data/purelib`, where auditwheel refuses them."""
    return tuple(elf for elf in facts.elf if "purelib" in elf.path.split("/")[:-1])


def in_pure_root(facts: WheelFacts) -> tuple[ElfFacts, ...]:
    """Files in the root of a wheel that says `Root-Is-Purelib: true` though its tag is native."""
    if not facts.root_is_purelib or facts.wheel.is_pure:
        return ()
    return tuple(
        elf for elf in facts.elf if _is_native(elf) and not elf.path.partition("/")[0].endswith(".data")
    )


def in_pure_wheel(facts: WheelFacts) -> tuple[ElfFacts, ...]:
    """Files that only some machines can load, in a wheel whose name says `any`."""
    if "any" not in facts.wheel.platforms:
        return ()
    return tuple(filter(_is_native, facts.elf))


def _is_native(elf: ElfFacts) -> bool:
    return elf.kind in _LOADABLE and elf.runs_on_linux


def is_misplaced(facts: WheelFacts) -> bool:
    """Whether a finding of its own says why no tag could be true for the wheel."""
    return bool(in_purelib(facts) or in_pure_wheel(facts) or strangers(facts)[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class SonameConflict:
    """A module that gets another library than its own, and the symbols that it then lacks.

    `sure`: the packages of the wheel import both modules in this order.
    """

    soname: str
    module: str
    own: str
    taken: str
    symbols: tuple[str, ...]
    sure: bool


@once_per_wheel
def soname_conflicts(facts: WheelFacts) -> tuple[SonameConflict, ...]:
    """All conflicts; where the order of imports is not known, each order counts, none is sure."""
    bringing: dict[str, list[tuple[Loading, ElfFacts]]] = {}
    for loading in loadings(facts):
        for file in loading.files[1:] if not loading.program else ():
            bringing.setdefault(file.soname or file.path, []).append((loading, file))
    return tuple(
        conflict
        for soname, found in bringing.items()
        if len({file.path for _, file in found}) > 1
        for conflict in _of_soname(soname, found, facts)
    )


def _of_soname(
    soname: str, found: list[tuple[Loading, ElfFacts]], facts: WheelFacts
) -> Iterator[SonameConflict]:
    place = {path: _place(name, facts) for name, path in facts.extension_paths}
    in_order = sorted(found, key=lambda one: place.get(one[0].root.path) or 0)
    for number, (loading, own) in enumerate(in_order):
        for other, taken in in_order:
            before = in_order.index((other, taken)) < number
            known = bool(place.get(other.root.path) and place.get(loading.root.path))
            if taken.path == own.path or (known and not before):
                continue
            if symbols := _lost(loading, own, taken):
                yield SonameConflict(
                    soname=soname,
                    module=loading.root.path,
                    own=own.path,
                    taken=taken.path,
                    symbols=symbols,
                    sure=known,
                )
                break


def _place(name: str, facts: WheelFacts) -> int:
    """The place in the order of imports, from 1 on; 0 for a module that no `__init__` names."""
    return facts.import_order.index(name) + 1 if name in facts.import_order else 0


def _lost(loading: Loading, own: ElfFacts, taken: ElfFacts) -> tuple[str, ...]:
    """Symbols that the loading's files want of their own library and that the other lacks."""
    others = [file for file in loading.files if file.path != own.path]
    wanted = {want.name for file in others for want in file.wants if not want.weak}
    elsewhere = {name for file in (*others, taken) for name in _names(file)}
    return tuple(sorted(wanted & _names(own) - elsewhere))


def _names(file: ElfFacts) -> set[str]:
    return {export.partition("@")[0] for export in file.exports}
