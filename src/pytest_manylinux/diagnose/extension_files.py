"""Which of a wheel's files a Python takes for extension modules, and whether it can.

Rules: `_PyImport_DynLoadFiletab` of CPython (importdl, dynload_shlib.c): the suffixes that an
interpreter looks for; PEP 489 and PEP 793 on what such a file exports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from pytest_manylinux.diagnose.api import once_per_wheel
from pytest_manylinux.model.distro import DEBIAN_TRIPLETS, InterpreterOrigin, Target
from pytest_manylinux.model.policy import LibcKind, policy_of_platform_tag
from pytest_manylinux.model.python import Implementation, PythonVersion
from pytest_manylinux.model.wheel import FileContent, ModuleFile, WheelFacts

SLOTS_SINCE = (3, 15)
"""The first Python that calls PyModExport_ and looks for `.abi3t.so` (PEP 793, PEP 803)."""

# `.abi3-x86_64-linux-gnu.so` is looked for since 3.15, and by Debian's Pythons since 3.13 (seen there).
_TRIPLET_SINCE, _TRIPLET_SINCE_IN_DEBIAN = (3, 15), (3, 13)
_DEBIANS = frozenset({"debian", "ubuntu"})
_CPYTHON = re.compile(r"cpython-(?P<version>\d+)(?P<flags>[a-z]*)-(?P<triplet>[\w-]+)")
# What only a free-threaded CPython exports, for its own Py_DECREF and its modules (refcount.h,
# object.c, moduleobject.c; seen with 3.13.5).
_FREE_THREADED_ONLY = frozenset(
    {"_Py_DecRefShared", "_Py_MergeZeroLocalRefcount", "PyUnstable_Module_SetGIL"}
)
_MUSL, _GNU = "-musl", "-gnu"
_MUSL_SINCE = (3, 11)  # before, the suffix for musl ended as glibc's does (CPython's configure.ac)
_M_UNTIL = (3, 7)  # the flag m (pymalloc) is part of the suffix up to here
_NEWEST = 40  # no minor version in sight is higher
# PyPy looks for one suffix alone, whose end Debian's own has from the archive's names of architectures:
# seen with 7.3.5 (which says i686), 7.3.11, 7.3.19 and 8.0.1 of Debian 11 to testing. Other wheels end
# in `-x86-linux-gnu`, `-arm-linux-gnu`, `-ppc_64-linux-gnu`; of other distros' PyPys it is not known.
_PYPY_IN_DEBIAN: dict[str, tuple[str, ...]] = {
    **{arch: (f"-{triplet}",) for arch, triplet in DEBIAN_TRIPLETS.items()},
    "i686": ("-i386-linux-gnu", "-i686-linux-gnu"),
}
_TAG = re.compile(r"(?P<kind>cp|pp|graalpy)3(?P<minor>\d+)")


def is_found(
    suffix: str,
    version: PythonVersion,
    *,
    debian: bool,
    libc: LibcKind = LibcKind.GLIBC,
    arch: str = "",
) -> bool:
    """Whether an interpreter looks for modules with the suffix (without its dot and `.so`).

    `debian`: it is Debian's own or Ubuntu's, or may be; `arch` is what it runs on, empty for any.
    """
    if not suffix:
        return version.implementation is not Implementation.PYPY
    if _is_of_another_libc(suffix, version, libc):
        return False
    suffix = suffix.replace(_MUSL, _GNU)
    match version.implementation:
        case Implementation.PYPY:  # pypy311-pp73-x86_64-linux-gnu of any ABI
            ends = _PYPY_IN_DEBIAN.get(arch, "") if debian else ""
            return suffix.startswith(f"pypy{version.major}{version.minor}-") and suffix.endswith(ends)
        case Implementation.GRAALPY:  # graalpy250-312-native-x86_64-linux
            return suffix.startswith(f"{version.abi.replace('_', '-')}-")
        case Implementation.CPYTHON:
            return _is_found_by_cpython(suffix, version, debian=debian)


def _is_found_by_cpython(suffix: str, version: PythonVersion, *, debian: bool) -> bool:
    if suffix.startswith("abi3t"):
        return version.release >= SLOTS_SINCE
    if suffix.startswith("abi3"):
        # Free-threaded ones look for it too, until they have a stable ABI of their own: CPython's
        # dynload_shlib.c; seen with 3.13.5. That they cannot use what they find is another matter.
        if version.free_threaded:
            return suffix == "abi3" and version.release < SLOTS_SINCE
        since = _TRIPLET_SINCE_IN_DEBIAN if debian else _TRIPLET_SINCE
        return suffix == "abi3" or version.release >= since
    match = _CPYTHON.fullmatch(suffix)
    own = {version.abi, version.id} if version.release <= _M_UNTIL else {version.abi}
    return match is not None and f"cp{match['version']}{match['flags']}" in own


def _is_of_another_libc(suffix: str, version: PythonVersion, libc: LibcKind) -> bool:
    if suffix.endswith(_MUSL):
        return libc is not LibcKind.MUSL
    of_glibc = suffix.endswith(_GNU) and version.release >= _MUSL_SINCE
    return libc is LibcKind.MUSL and of_glibc


def unfound(facts: WheelFacts, target: Target) -> dict[str, list[ModuleFile]]:
    """Modules that the target's Python does not find by any of their files."""
    version, libc = target.interpreter.version, target.distro.libc.kind
    standalone = target.interpreter.origin is InterpreterOrigin.STANDALONE
    debian = target.distro.family in _DEBIANS and not standalone
    return {
        name: files
        for name, files in _by_name(facts).items()
        if not any(
            is_found(one.suffix, version, debian=debian, libc=libc, arch=target.arch) for one in files
        )
    }


@once_per_wheel
def never_found(facts: WheelFacts) -> dict[str, list[ModuleFile]]:
    """Modules that the lowest Python of some tag does not find, whatever the distro."""
    lowest, kinds = list(_lowest(facts)), _kinds(facts)
    return {
        name: files
        for name, files in _by_name(facts).items()
        if lowest
        and not any(
            is_found(one.suffix, version, debian=False, libc=kind)
            for version in lowest
            for one in files
            for kind in kinds
        )
    }


def importer(name: str, facts: WheelFacts) -> str:
    """Who needs a module that Python may not find, in words; empty where the wheel can do without.

    A module at the top is there to be imported, unless its name says that it is the wheel's own. In a
    package it is what code of the wheel imports, whatever the circumstances. A source of the same name
    takes its place (mypyc's wheels have both).
    """
    place = name.replace(".", "/")
    if any(f"/{path}".endswith((f"/{place}.py", f"/{place}/__init__.py")) for path in facts.files):
        return ""
    for effect in facts.foreign_imports:
        if effect.name == name:
            return f"{effect.path}, line {effect.line}, imports {name}"
    public = "." not in name and not name.startswith("_")
    return f"{name} is at the top of the wheel" if public else ""


@once_per_wheel
def left_over(facts: WheelFacts) -> dict[str, list[ModuleFile]]:
    """Files of modules that are found by another file, whose own suffix no Python of the tags has."""
    versions = tuple(_admitted(facts))
    if not versions:
        return {}

    def is_of_some(one: ModuleFile) -> bool:
        return any(
            is_found(one.suffix, version, debian=True, libc=kind)
            for version in versions
            for kind in _kinds(facts)
        )

    found = {}
    for name, files in _by_name(facts).items():
        unused = [one for one in files if not is_of_some(one)]
        if unused and len(unused) < len(files):
            found[name] = unused
    return found


def _admitted(facts: WheelFacts) -> Iterator[PythonVersion]:
    """The Pythons that install the wheel; none where a tag without an ABI admits too many to tell."""
    if any(tag.abi == "none" for tag in facts.wheel.tags):
        return
    yield from _lowest(facts)
    if any(tag.abi in {"abi3", "abi3t"} for tag in facts.wheel.tags):
        for minor in range(min((one.minor for one in _lowest(facts)), default=_NEWEST), _NEWEST):
            for threads in (False, True):
                yield PythonVersion(3, minor, Implementation.CPYTHON, threads)


def _kinds(facts: WheelFacts) -> tuple[LibcKind, ...]:
    """The C libraries that the wheel is for: glibc unless its name says otherwise."""
    found = [split[0].kind for tag in facts.wheel.platforms if (split := policy_of_platform_tag(tag))]
    return tuple(sorted(set(found))) or (LibcKind.GLIBC,)


def no_modules(facts: WheelFacts) -> list[ModuleFile]:
    """Files that are called like extension modules and are no ELF files at all."""
    return [one for one in facts.module_files if one.content is not FileContent.NATIVE]


def without_init(facts: WheelFacts, version: PythonVersion) -> Iterator[ModuleFile]:
    """Modules that a Python finds and cannot initialise.

    A file that the wheel's own code opens by ctypes needs no init function.
    """
    slots = version.release >= SLOTS_SINCE
    pypy = version.implementation is Implementation.PYPY
    for one in facts.module_files:
        if one.inits or (one.exports and slots) or (one.pypy_init and pypy):
            continue
        if one.content is not FileContent.NATIVE:
            continue
        if _is_found(one, facts, version) and not opened_by_path(one, facts):
            yield one


def foreign_abi3(facts: WheelFacts, version: PythonVersion) -> Iterator[ModuleFile]:
    """Modules for the stable ABI that a Python takes for its own, though its ABI is another.

    That is so of free-threaded Pythons before 3.15: their objects begin with other fields (PEP 703),
    which a module for the stable ABI has in its static data. They look for NAME.abi3.so before
    NAME.so, and after the file of their own name. A file that a free-threaded Python's own headers
    made, and that only its name calls stable, is not meant.
    """
    if not version.free_threaded or version.release >= SLOTS_SINCE:
        return
    own = {elf.path for elf in facts.elf if any(want.name in _FREE_THREADED_ONLY for want in elf.wants)}
    for files in _by_name(facts).values():
        if any(one.suffix.startswith("cpython") and _is_found(one, facts, version) for one in files):
            continue
        for one in files:
            native = one.content is FileContent.NATIVE and one.inits and one.path not in own
            if one.suffix == "abi3" and native:
                yield one


def _is_found(one: ModuleFile, facts: WheelFacts, version: PythonVersion) -> bool:
    return any(is_found(one.suffix, version, debian=True, libc=kind) for kind in _kinds(facts))


def opened_by_path(one: ModuleFile, facts: WheelFacts) -> bool:
    """Whether the wheel's Python code opens such a file by ctypes."""
    file = one.path.rpartition("/")[2]
    return any(fnmatchcase(file, pattern) for pattern in facts.opened_by_path)


def lowest_versions(facts: WheelFacts) -> tuple[PythonVersion, ...]:
    """The lowest Python of each tag with an ABI; of others nothing is promised."""
    return tuple(_lowest(facts))


def _lowest(facts: WheelFacts) -> Iterator[PythonVersion]:
    for tag in sorted(facts.wheel.tags, key=str):
        found = _TAG.fullmatch(tag.interpreter)
        if found is not None and tag.abi != "none":
            implementation = Implementation(found["kind"])
            threads = implementation is Implementation.CPYTHON and tag.abi.endswith("t")
            yield PythonVersion(3, int(found["minor"]), implementation, threads and tag.abi != "abi3t")


@once_per_wheel
def _by_name(facts: WheelFacts) -> dict[str, list[ModuleFile]]:
    found: dict[str, list[ModuleFile]] = {}
    for one in facts.module_files:
        found.setdefault(one.name, []).append(one)
    return found
