"""What of a wheel a trial tries other than imports: entry points, programs, libraries, sources."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from packaging.utils import canonicalize_name

from pytest_manylinux.inspect.names import extension_stem
from pytest_manylinux.model.elf_facts import ElfKind
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.trials.judged_files import installed_path, within
from pytest_manylinux.trials.request import VENV, VenvLayout

# Object references of the entry points specification, with the extras that it says nobody should use.
_REFERENCE = re.compile(
    r"(?P<module>\w+(?:\.\w+)*)\s*:\s*(?P<attribute>\w+(?:\.\w+)*)\s*(?P<extras>\[.*\])?"
)


def entry_references(facts: WheelFacts, extras: Iterable[str] = ()) -> tuple[str, ...]:
    """The object references of the wheel's programs, `module:attribute`, each once.

    Those with extras that are not among `extras` are left out: what they need is not installed.
    """
    installed = {canonicalize_name(name) for name in extras}
    matches = (_REFERENCE.fullmatch(text.strip()) for _, text in facts.entry_references)
    found = (
        f"{m['module']}:{m['attribute']}"
        for m in matches
        if m is not None and _named(m["extras"] or "") <= installed
    )
    return tuple(dict.fromkeys(found))


def _named(extras: str) -> set[str]:
    """The names in the brackets."""
    return {canonicalize_name(word.strip()) for word in extras.strip("[]").split(",") if word.strip()}


def launched_files(facts: WheelFacts, layout: VenvLayout) -> tuple[tuple[str, bool], ...]:
    """The files that are put on PATH, in the folder of scripts, and whether each is an ELF program.

    A shared library that lies there is not started.
    """
    kinds = {elf.path: elf.kind for elf in facts.elf}
    folder = f"{VENV}/{layout.scripts}"
    found = []
    for path in (script.path for script in facts.script_files):
        place = installed_path(path, facts, layout)
        kind = kinds.get(path)
        if place and str(PurePosixPath(place).parent) == folder and kind in {None, ElfKind.PROGRAM}:
            found.append((place, kind is ElfKind.PROGRAM))
    return tuple(found)


def opened_libraries(facts: WheelFacts, layout: VenvLayout, arch: str) -> tuple[str, ...]:
    """Where the libraries lie of a wheel that consists of libraries alone; else none."""
    places = (installed_path(elf.path, facts, layout) for elf in facts.lone_libraries(arch))
    return tuple(place for place in places if place)


def compiled_sources(facts: WheelFacts, layout: VenvLayout) -> tuple[str, ...]:
    """Where the wheel's modules in Python lie: files that an import statement can name."""
    sites = tuple(f"{VENV}/{path}/" for path in dict.fromkeys((layout.purelib, layout.platlib)))
    found = []
    for path in facts.files:
        place = installed_path(path, facts, layout) if path.endswith(".py") else ""
        site = next((site for site in sites if place.startswith(site)), "")
        if site and all(_is_name(part) for part in place[len(site) : -3].split("/")):
            found.append(place)
    return tuple(found)


def own_places(facts: WheelFacts, layout: VenvLayout) -> frozenset[str]:
    """Where all files of the wheel lie, absolute, links of the venv's own (`lib64`) resolved too."""
    places = [place for path in facts.files if (place := installed_path(path, facts, layout))]
    return frozenset((*places, *(f"{VENV}/{within(place, layout)}" for place in places)))


def names_by_data(facts: WheelFacts, layout: VenvLayout) -> Iterator[str]:
    """Importable names that `.data/data` puts into site-packages (sysconfig's layout of this venv)."""
    sites = tuple(f"{VENV}/{path}/" for path in dict.fromkeys((layout.purelib, layout.platlib)))
    for path in facts.files:
        if "/data/" not in path or not path.partition("/")[0].endswith(".data"):
            continue
        place = installed_path(path, facts, layout)
        site = next((site for site in sites if place.startswith(site)), "")
        head, _, rest = place[len(site) :].removesuffix(".py").partition("/") if site else ("", "", "")
        if path.endswith(".py") and rest in {"", "__init__"} and _is_name(head):
            yield head


def names_by_dependency(facts: WheelFacts) -> Iterator[str]:
    """Names in a `site-packages` within the wheel, which a dependency's `.pth` may add to sys.path.

    Cmeel's wheels are of that kind: cmeel.prefix/lib/python3.11/site-packages, which cmeel itself adds.
    """
    for path in facts.files:
        outside, inside, rest = path.rpartition("/site-packages/")
        if inside and not outside.partition("/")[0].endswith(".data"):
            name = rest.removesuffix(".py").removesuffix("/__init__")
            if rest.endswith(".py") and _is_name(name):
                yield name


def foreign_modules(facts: WheelFacts) -> Iterator[str]:
    """Extension modules whose files are named for other Pythons, and that something needs all the same.

    Code of the wheel imports them, or they are public modules at its top.
    """
    yield from (effect.name for effect in facts.foreign_imports)
    for one in facts.module_files:
        foreign = extension_stem(PurePosixPath(one.path).name, facts.wheel.tags) is None
        if foreign and "." not in one.name and not one.name.startswith("_"):
            yield one.name


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)
