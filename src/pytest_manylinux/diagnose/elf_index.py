"""A wheel's ELF files: by what they are called, by what they ask for, and where they do not belong.

Native code does not belong into a wheel for another machine, into purelib, or into a pure wheel.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_manylinux.diagnose.loader_model import is_command
from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.wheel import ElfFacts, ElfKind, WheelFacts

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
    return _indexed(facts, lambda elf: elf.needed)


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
