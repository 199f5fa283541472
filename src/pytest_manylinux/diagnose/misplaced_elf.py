"""Native code where it does not belong: for another machine, in purelib, in a pure wheel."""

from __future__ import annotations

from pytest_manylinux.diagnose.loader_model import is_command
from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.wheel import ElfFacts, ElfKind, WheelFacts

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
