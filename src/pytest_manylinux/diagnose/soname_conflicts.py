"""Different libraries of one wheel that are called the same.

The loader takes a library that is in the process already under the soname that is asked for, and does
not look for another (elf/dl-load.c, _dl_map_object). So of two modules that each bring their own
`libs.so.1`, the one that is imported second gets the first one's, with the symbols of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_manylinux.diagnose.loader_model import Loading, loadings
from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.wheel import ElfFacts, WheelFacts


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
