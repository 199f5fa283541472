"""The platform policies, and which of them a wheel's bytes keep.

The policies are auditwheel's own data, read through its API; the judgement follows its
`analyze_wheel_abi`, so that the tag is the same. What auditwheel spends minutes on in wheels with
hundreds of ELF files, resolving each one's libraries and symbols again, is here a walk over facts
that are read already.

Which file a needed library is found in follows auditwheel's lddtree: the root's DT_RPATH, then the
asking file's own search path, then the root's DT_RUNPATH; `$ORIGIN` is the asking file's folder;
DT_RPATH is ignored where DT_RUNPATH leads somewhere. Unlike auditwheel's, the answer depends on the
wheel alone: what is not in it is outside, whatever libraries this machine happens to have.
"""

from __future__ import annotations

import enum
import functools
import logging
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from auditwheel.architecture import Architecture
from auditwheel.libc import Libc
from auditwheel.policy import Policy as AuditwheelPolicy
from auditwheel.policy import WheelPolicies

from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.wheel import WheelFacts

_ORIGIN = re.compile(r"\$(?:ORIGIN|\{ORIGIN\})")
_LIBPYTHON = re.compile(r"libpython\d+\.\d+m?.so(\.\d)*")


@dataclass(frozen=True, slots=True)
class LibraryTree:
    """One ELF file with all that it loads, directly or not.

    `libraries` maps each soname to the file of the wheel that provides it, or None.
    """

    root: ElfFacts
    libraries: Mapping[str, ElfFacts | None]

    def outside(self, allowed: Callable[[str], bool]) -> set[str]:
        """Sonames that must come from outside the wheel and are not allowed to.

        Allowed libraries are not entered, nor are those outside: what they need is the system's.
        """
        waiting = [name for name in self.root.needed if not allowed(name)]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if (library := self.libraries.get(name)) is not None:
                waiting.extend(dep for dep in library.needed if not allowed(dep))
        return {name for name in seen if self.libraries.get(name) is None}


class Shelf:
    """The ELF files of a wheel by path, and the folders that search paths can name."""

    def __init__(self, files: Iterable[str], elf: Iterable[ElfFacts]) -> None:
        self._elf = {file.path: file for file in elf}
        self._folders = _folders(files)

    def tree(self, root: ElfFacts) -> LibraryTree:
        """Resolve everything that `root` needs, depth first, as the order of search demands."""
        root_rpath, root_runpath = self._search(root)
        libraries: dict[str, ElfFacts | None] = {}
        stack: list[tuple[ElfFacts, Iterator[str]]] = [(root, iter(root.needed))]
        while stack:
            file, names = stack[-1]
            name = next(names, None)
            if name is None:
                stack.pop()
            elif name not in libraries:
                rpath, runpath = self._search(file)
                found = self._find(name, root, (*root_rpath, *rpath, *runpath, *root_runpath))
                libraries[name] = found
                if found is not None:
                    stack.append((found, iter(found.needed)))
        return LibraryTree(root, libraries)

    def _find(self, name: str, root: ElfFacts, folders: Iterable[str]) -> ElfFacts | None:
        if _LIBPYTHON.fullmatch(name):
            return None  # the interpreter brings its own; a libpython in the wheel is never meant
        for folder in folders:
            file = self._elf.get(posixpath.normpath(posixpath.join(folder, name)))
            if file is not None and (file.machine, file.bits) == (root.machine, root.bits):
                return file
        return None

    def _search(self, file: ElfFacts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """DT_RPATH and DT_RUNPATH as folders of the wheel."""
        rpath, runpath = self._expanded(file, file.rpath), self._expanded(file, file.runpath)
        return ((), runpath) if runpath else (rpath, ())

    def _expanded(self, file: ElfFacts, parts: tuple[str, ...]) -> tuple[str, ...]:
        if parts == ("",):
            return ()
        origin = posixpath.dirname(file.path) or "."
        found = []
        for part in parts:
            if not part:
                found.append(".")  # the working folder, which auditwheel has at the wheel's root
            elif _ORIGIN.search(part):
                folder = posixpath.normpath(_ORIGIN.sub(lambda _: origin, part))
                if folder in self._folders:
                    found.append(folder)
        return tuple(dict.fromkeys(found))


def mended(
    trees: list[LibraryTree], *, fixed: set[str], present: Callable[[str], bool]
) -> list[LibraryTree]:
    """Give libraries the search paths of whoever loads them.

    A library without a search path of its own is loaded by another file that has one; the loader
    then finds its needs too. auditwheel's rule: where some tree is complete (all in the wheel, or
    `present` on every system) and contains the library, the library's gaps are filled from it.
    `fixed` are paths of files that load themselves (extension modules): they get no such help.
    """
    complete = [
        tree for tree in trees if all(file or present(name) for name, file in tree.libraries.items())
    ]
    loaders: dict[str, LibraryTree] = {}
    for tree in complete:
        for file in tree.libraries.values():
            if file is not None:
                loaders.setdefault(file.path, tree)
    return [
        _filled(tree, loader)
        if tree.root.path not in fixed and (loader := loaders.get(tree.root.path))
        else tree
        for tree in trees
    ]


def _filled(tree: LibraryTree, loader: LibraryTree) -> LibraryTree:
    libraries = {**loader.libraries, **{k: v for k, v in tree.libraries.items() if v is not None}}
    return LibraryTree(tree.root, libraries)


def _folders(files: Iterable[str]) -> frozenset[str]:
    found = {"."}
    for path in files:
        folder = posixpath.dirname(path)
        while folder and folder not in found:
            found.add(folder)
            folder = posixpath.dirname(folder)
    return frozenset(found)


_MUSL = re.compile(r"musllinux_\d+_\d+")
_PYFPE = frozenset({"PyFPE_jbuf", "PyFPE_dummy", "PyFPE_counter"})
_LOADERS = frozenset({"ld64.so.1", "ld64.so.2"})


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """What one policy allows on one architecture.

    `name` is the platform tag (`manylinux_2_17_x86_64`), `priority` auditwheel's (0 for plain
    `linux`, which allows everything; higher reaches more systems). `versions` maps a prefix such as
    `GLIBC` to the allowed versions in full (`GLIBC_2.17`), oldest first.
    """

    name: str
    aliases: tuple[str, ...]
    priority: int
    versions: Mapping[str, tuple[str, ...]]
    libraries: frozenset[str]
    forbidden: Mapping[str, frozenset[str]]

    def allows(self, library: str) -> bool:
        """Whether a wheel may take this library from the system; the loader itself always."""
        return library in self.libraries or is_loader(library)

    def of_older(self, name: str, glibc: str) -> PolicyRules:
        """What a tag of an older glibc promises where no policy says it (PEP 600)."""
        newest = version_key(f"GLIBC_{glibc}")
        offered = self.versions.get("GLIBC", ())
        older = tuple(version for version in offered if version_key(version) <= newest)
        return replace(self, name=name, aliases=(), versions={**self.versions, "GLIBC": older})


class ObstacleKind(enum.Enum):
    """The rule of a policy that a file breaks."""

    VERSION = "symbol version"
    LIBRARY = "library"
    FORBIDDEN = "forbidden symbol"
    PROCESSOR = "processor level"
    PYTHON = "old Python"
    LIBC = "C library"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a wheel does not keep a policy: the file, and a clause that names symbol or library.

    `subject` is the version (`GLIBC_2.28`), the soname, the level (`x86-64-v3`) or the symbol;
    `symbols` are those of a version, all of them.
    """

    path: str
    clause: str
    kind: ObstacleKind
    subject: str
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _JudgedFile:
    """One file that counts. `tree` is None where the files that load it answer for its libraries."""

    file: ElfFacts
    tree: LibraryTree | None
    extension: bool


@dataclass(frozen=True, slots=True)
class Assessment:
    """A wheel to be measured against every policy for its architecture and libc, best last."""

    arch: str
    libc: Libc
    rules: tuple[PolicyRules, ...]
    subjects: tuple[_JudgedFile, ...]

    @property
    def deserved(self) -> PolicyRules:
        """The policy with the widest reach that every file keeps; plain `linux` if none."""
        kept = (rules for rules in reversed(self.rules) if not any(True for _ in self.obstacles(rules)))
        return next(kept)

    def obstacles(self, rules: PolicyRules) -> Iterator[Obstacle]:
        """What keeps the wheel from a policy, file by file; nothing for plain `linux`."""
        if rules.priority:
            for subject in self.subjects:
                yield from _breaches(subject, rules)


def assess(facts: WheelFacts, members: tuple[ElfFacts, ...], arch: str, libc: Libc) -> Assessment:
    """Prepare to measure `members`: a wheel's ELF files of one architecture and libc."""
    rules = load_rules(libc, arch, _musl_name(facts, arch) if libc is Libc.MUSL else None)
    extensions = {file.path for file in members if is_extension(file)}
    shelf = Shelf(facts.files, facts.elf)
    trees = [shelf.tree(file) for file in sorted(members, key=lambda f: f.path not in extensions)]
    trees = mended(trees, fixed=extensions, present=lambda name: any(r.allows(name) for r in rules))
    by_path = {tree.root.path: tree for tree in trees}
    needed = {name for file in members for name in file.needed}
    subjects = []
    for file in members:
        extension = file.path in extensions
        loaded_by_others = not extension and PurePosixPath(file.path).name in needed
        tree = None if loaded_by_others else by_path[file.path]
        subjects.append(_JudgedFile(file, tree, extension))
    return Assessment(arch, libc, rules, tuple(subjects))


@functools.cache
def load_rules(libc: Libc, arch: str, musl_policy: str | None = None) -> tuple[PolicyRules, ...]:
    """Auditwheel's policies for an architecture, plain `linux` first, the widest reach last.

    For musl only the one in the name (or the newest) applies: musl's symbols carry no versions, so
    that bytes do not tell one musllinux from another. Raises ValueError for an unknown `arch`.
    """
    architecture = Architecture(arch)
    logger = logging.getLogger("auditwheel.policy")
    before, logger.disabled = logger.disabled, True  # it warns where the machine has no musl
    try:
        policies = WheelPolicies(libc=libc, arch=architecture, musl_policy=musl_policy)
    except AssertionError:  # a musllinux version that the data does not know
        policies = WheelPolicies(libc=libc, arch=architecture)
    finally:
        logger.disabled = before
    return tuple(_rules(policy) for policy in policies)


def is_extension(file: ElfFacts) -> bool:
    """Whether a file is an extension module by auditwheel's rule: it exports its own init function."""
    stem = PurePosixPath(file.path).name.split(".", 1)[0]
    return stem in file.exports_init or f"init{stem}" in file.exports


def is_loader(library: str) -> bool:
    """Whether a soname is the dynamic loader's, which every system with that libc has."""
    return "ld-linux" in library or library in _LOADERS


def _musl_name(facts: WheelFacts, arch: str) -> str | None:
    names = (name.removesuffix(f"_{arch}") for name in facts.wheel.platforms)
    return next((name for name in names if _MUSL.fullmatch(name)), None)


def _rules(policy: AuditwheelPolicy) -> PolicyRules:
    versions = {
        prefix: tuple(f"{prefix}_{v}" for v in sorted(known, key=version_key))
        for prefix, known in policy.symbol_versions.items()
    }
    return PolicyRules(
        name=policy.name,
        aliases=policy.aliases,
        priority=policy.priority,
        versions=versions,
        libraries=policy.whitelist | (_OF_MUSL if policy.name.startswith("musllinux") else frozenset()),
        forbidden=policy.blacklist,
    )


_OF_MUSL = frozenset({"libc.so"})
"""What a file that was linked without a soname of libc's needs: musl's loader takes it for itself.

Auditwheel's data for musllinux name it too; its code then has the name of the machine's own libc only.
"""


def version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Numbers by value, words by alphabet, so that 2.5 stands before 2.12."""
    return tuple(map(_part_key, re.findall(r"\d+|[A-Za-z_]+", version)))


def _part_key(part: str) -> tuple[int, str]:
    """Of a number of any length, which Python may refuse to read: how long it is, then its digits."""
    digits = part.lstrip("0")
    return (len(digits), digits) if part.isdecimal() else (-1, part)


def _breaches(subject: _JudgedFile, rules: PolicyRules) -> Iterator[Obstacle]:
    """What one file does that a policy does not allow; cheapest to find out first."""
    file, tree = subject.file, subject.tree
    yield from _versions(file, rules)
    if tree is not None:
        for library in sorted(tree.outside(rules.allows)):
            yield Obstacle(file.path, _outside(tree, library), ObstacleKind.LIBRARY, library)
        yield from _forbidden(file, rules)
        if file.isa_level > 1:
            level = f"x86-64-v{file.isa_level}"
            clause = f"states that it needs {level} instructions"
            yield Obstacle(file.path, clause, ObstacleKind.PROCESSOR, level)
    if subject.extension:
        yield from _old_pythons(file)


def _versions(file: ElfFacts, rules: PolicyRules) -> Iterator[Obstacle]:
    for library, versions in file.version_needs:
        if library.startswith("ld-linux") or library in _LOADERS:
            continue
        for version in sorted(versions, key=version_key, reverse=True):
            allowed = rules.versions.get(version.partition("_")[0])
            if allowed is not None and version not in allowed:
                symbols = [w.name for w in file.wants if (w.library, w.version) == (library, version)]
                limit = f"allowed up to {allowed[-1]}" if allowed else "no version is allowed"
                clause = f"wants {_symbols(symbols, version)} from {library}; {limit}"
                yield Obstacle(file.path, clause, ObstacleKind.VERSION, version, tuple(symbols))


def _symbols(names: list[str], version: str) -> str:
    if not names:
        return version
    shown = ", ".join(f"{name}@{version}" for name in names[:2])
    return f"{shown} and {len(names) - 2} more" if len(names) > 2 else shown  # noqa: PLR2004


def _outside(tree: LibraryTree, library: str) -> str:
    if library in tree.root.needed:
        return f"needs {library}, which its search path does not find in the wheel and no policy allows"
    asking = (f for f in tree.libraries.values() if f is not None and library in f.needed)
    through = next((file.path for file in asking), "another library")
    return f"needs {library} through {through}; it is not found in the wheel, and not allowed"


def _forbidden(file: ElfFacts, rules: PolicyRules) -> Iterator[Obstacle]:
    for library in sorted(rules.forbidden.keys() & set(file.needed)):
        names = rules.forbidden[library]
        used = sorted({want.name for want in file.wants if not want.weak} & names)
        if used or "*" in names:
            symbols = ", ".join(used) or "any symbol"
            clause = f"uses {symbols} of {library}, which the policy forbids"
            yield Obstacle(file.path, clause, ObstacleKind.FORBIDDEN, f"{symbols} of {library}")


def _old_pythons(file: ElfFacts) -> Iterator[Obstacle]:
    names = {want.name for want in file.wants}
    if used := sorted(names & _PYFPE):
        clause = f"uses {used[0]}: made for a Python with fpectl, which others lack (PEP 513)"
        yield Obstacle(file.path, clause, ObstacleKind.PYTHON, used[0])
    if used := sorted(name for name in names if name.startswith("PyUnicodeUCS2_")):
        clause = f"uses {used[0]}: made for a narrow-Unicode Python 2 (PEP 513)"
        yield Obstacle(file.path, clause, ObstacleKind.PYTHON, used[0])
