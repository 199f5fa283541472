"""A wheel's ELF files by what they are called and by what they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.wheel import ElfFacts, WheelFacts

_Files = tuple[ElfFacts, ...]

# The name that `auditwheel repair` gives to a copy: libfoo-0a1b2c3d.so.1 for libfoo.so.1.
_COPY = re.compile(r"(?P<stem>.+)-[0-9a-f]{6,}(?P<rest>\.so(?:\.[\w.]+)?)")


def needing(library: str, facts: WheelFacts) -> _Files:
    """The wheel's ELF files whose DT_NEEDED names the library."""
    return _by_need(facts).get(library, ())


def files_named(library: str, facts: WheelFacts) -> _Files:
    """The wheel's ELF files that are called so."""
    return _by_name(facts).get(library, ())


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
