"""Which file a needed library is found in, as the search paths inside a wheel have it.

The rules are auditwheel's (its lddtree): the root's DT_RPATH, then the asking file's own search
path, then the root's DT_RUNPATH; `$ORIGIN` is the asking file's folder; DT_RPATH is ignored where
DT_RUNPATH leads somewhere. Unlike auditwheel's, the answer depends on the wheel alone: what is not
in it is outside, whatever libraries this machine happens to have.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_manylinux.model.wheel import ElfFacts

_ORIGIN = re.compile(r"\$(?:ORIGIN|\{ORIGIN\})")
_LIBPYTHON = re.compile(r"libpython\d+\.\d+m?.so(\.\d)*")


@dataclass(frozen=True, slots=True)
class Tree:
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

    def tree(self, root: ElfFacts) -> Tree:
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
        return Tree(root, libraries)

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


def mended(trees: list[Tree], *, fixed: set[str], present: Callable[[str], bool]) -> list[Tree]:
    """Give libraries the search paths of whoever loads them.

    A library without a search path of its own is loaded by another file that has one; the loader
    then finds its needs too. auditwheel's rule: where some tree is complete (all in the wheel, or
    `present` on every system) and contains the library, the library's gaps are filled from it.
    `fixed` are paths of files that load themselves (extension modules): they get no such help.
    """
    complete = [
        tree for tree in trees if all(file or present(name) for name, file in tree.libraries.items())
    ]
    loaders: dict[str, Tree] = {}
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


def _filled(tree: Tree, loader: Tree) -> Tree:
    libraries = {**loader.libraries, **{k: v for k, v in tree.libraries.items() if v is not None}}
    return Tree(tree.root, libraries)


def _folders(files: Iterable[str]) -> frozenset[str]:
    found = {"."}
    for path in files:
        folder = posixpath.dirname(path)
        while folder and folder not in found:
            found.add(folder)
            folder = posixpath.dirname(folder)
    return frozenset(found)
