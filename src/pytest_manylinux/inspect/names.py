"""Which names a wheel makes importable, found from its files alone.

top_level.txt is no help: it may list names that no file backs and leave out others. What counts,
by the import system's own rules (the language reference on finders, PEP 420 for namespace
packages, PEP 3149 for extension suffixes, PEP 489 for the names of init functions):

* a folder with `__init__` (source, bytecode or extension module) is a package: one name;
* a folder without is a namespace package and is entered: `ns.pkg`, `ns.module`;
* a folder that a `.pth` file names is searched like the one that it lies in (the module site);
* `x.py`, `x.pyc` and extension modules that really export an init function for `x`.

Left out: what is no identifier, stubs, `__main__` and other programs, `.libs` and metadata folders,
and folders that are no namespace in earnest (see NOT_NAMESPACES).
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from packaging.tags import Tag

from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.wheel import FileContent, ModuleFile, admitted_releases

NOT_NAMESPACES = frozenset(
    {
        *("docs", "doc", "examples", "example", "samples", "demo", "demos"),
        *("tests", "test", "testing", "benchmarks", "benchmark", "scripts", "tools"),
        *("include", "includes", "lib", "lib64", "bin", "share", "etc", "man", "licenses", "LICENSES"),
    }
)
"""Top-level folders without `__init__` that land in a wheel by mistake or as data.

Python could enter them as namespaces, but nobody imports them, and the programs in them act when
they are imported. With an `__init__` they count as packages like any other.
"""

_PROGRAMS = frozenset({"__init__", "__main__"})

NOT_MODULES = _PROGRAMS | {"setup", "conftest"}
"""Files at the top that are programs, or are read by a tool: importing one runs it."""

_TESTS = re.compile(r"tests?|conftest|test_.*|.*_tests?")
_EXTENSION = re.compile(r"(?P<stem>[^.]+)(?:\.(?P<abi>[^.]+))?\.so")
_INTERPRETER = re.compile(r"(?:py|cp)3(?P<minor>\d*)t?")
_SAYS_LITTLE = re.compile(r"__init__\.py|(?:_{0,2})(?:version|about)(?:_{0,2})\.py")
_MARKER = 1024  # bytes up to which those mark a folder as a package, say a version, and do no more
_FUTURE = 40  # no bound of a Requires-Python in use is higher
_SUFFIX = re.compile(r"abi3t?(?:-[\w-]+)?|cpython-\d+[a-z]*(?:-[\w-]+)?|pypy\d[\w-]*|graalpy[\w-]+")
_CPYTHON = re.compile(r"cpython-(?P<version>\d+)(?P<flags>[a-z]*)(?:-.+)?")
_NESTED = re.compile(r"(?![^/]+\.data/)(?:[^/]+/)+lib(?:64)?/python(?P<version>3\.\d+)/site-packages/")
_DATA = re.compile(r"[^/]+\.data/(?P<scheme>purelib|platlib)/(?P<rest>.+)")


@dataclass(slots=True)
class _SiteFolder:
    """A folder below site-packages: its modules by bare name, and its folders."""

    modules: set[str] = field(default_factory=set)
    folders: dict[str, _SiteFolder] = field(default_factory=dict)

    @property
    def is_package(self) -> bool:
        return "__init__" in self.modules


def installed_path(path: str) -> str | None:
    """Where a wheel's file lands below site-packages; None if it lands elsewhere.

    `.data/purelib` and `.data/platlib` go to the root, the other schemes and .dist-info do not.
    """
    top = path.split("/", 1)[0]
    if top.endswith(".data"):
        match = _DATA.fullmatch(path)
        return match["rest"] if match else None
    return None if top.endswith(".dist-info") else path


def below_search_folder(path: str, folders: Iterable[str]) -> str:
    """A file's path below the innermost of the folders; as it is where it is in none of them."""
    place = installed_path(path) or ""
    found = max((one for one in folders if place.startswith(f"{one}/")), key=len, default="")
    return place[len(found) + 1 :] if found else path


def is_code(path: str, size: int) -> bool:
    """Whether a file of a wheel is Python code that does more than make its folder a package.

    A short file that says the version, as version control and build back ends write it, does not.
    """
    file = path.rpartition("/")[2]
    return file.endswith(".py") and not (_SAYS_LITTLE.fullmatch(file) and size <= _MARKER)


def nested_folders(files: Iterable[str]) -> tuple[str, ...]:
    """Folders of a wheel that are laid out like an environment's site-packages, sorted.

    A `.pth` of a required project may add them to sys.path: cmeel's adds the folder of the wheels that
    it builds, `cmeel.prefix/lib/python3.11/site-packages`.
    """
    matches = (_NESTED.match(path) for path in files)
    return tuple(sorted({match[0].rstrip("/") for match in matches if match}))


def python_of_folder(path: str) -> str:
    """The version, `3.11`, of the Python that a file in a nested folder is for; else empty."""
    match = _NESTED.match(path)
    return match["version"] if match else ""


def top_level_names(
    files: Iterable[str], tags: Iterable[Tag], inits: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    """The importable names, sorted; `inits` are the module names that each ELF file can init."""
    tags = tuple(tags)
    found: set[str] = set()
    waiting = [("", _tree(files, tags, inits))]
    while waiting:
        prefix, folder = waiting.pop()
        for name in filter(_is_name, folder.modules):
            if name not in (NOT_MODULES if not prefix else _PROGRAMS):
                found.add(prefix + name)
        for name, inner in folder.folders.items():
            if not _is_name(name):
                continue
            if inner.is_package:
                found.add(prefix + name)
            elif name not in folder.modules and (prefix or name not in NOT_NAMESPACES):
                waiting.append((f"{prefix}{name}.", inner))
    return tuple(sorted(found))


def extension_modules(
    tags: Iterable[Tag], inits: Mapping[str, Iterable[str]]
) -> tuple[tuple[str, str], ...]:
    """(dotted name, path in the wheel) of each extension module, sorted.

    The last part may be no identifier (mypyc makes such names); importlib takes it.
    """
    tags = tuple(tags)
    modules = []
    for path, names in inits.items():
        place = installed_path(path)
        if place is None:
            continue
        *folders, file = place.split("/")
        stem = extension_stem(file, tags)
        if stem is None or not all(_is_name(folder) for folder in folders):
            continue
        if _can_init(stem, folders, names):
            parts = folders if stem == "__init__" else [*folders, stem]
            modules.append((".".join(parts), path))
    return tuple(sorted(modules))


def submodules(files: Iterable[str], packages: Iterable[str], levels: int) -> tuple[str, ...]:
    """Dotted names of Python sources inside packages, sorted, at most so many levels below them.

    A negative number means all levels. Programs (`__main__`) and tests are left out.
    """
    found: set[str] = set()
    known = set(packages)
    for path in files if levels else ():
        place = module_place(path) if path.endswith(".py") else None
        parts = place.removesuffix(".py").split("/") if place else []
        if parts[-1:] == ["__init__"]:
            parts.pop()
        tops = (depth for depth in range(1, len(parts)) if ".".join(parts[:depth]) in known)
        top = next(tops, 0)
        inner = parts[top:]
        is_near = top and (levels < 0 or len(inner) <= levels)
        if is_near and "__main__" not in inner and not any(map(_TESTS.fullmatch, inner)):
            found.add(".".join(parts))
    return tuple(sorted(found))


def module_place(path: str) -> str | None:
    """Where a source lands below site-packages if an import can name it, else None."""
    place = installed_path(path)
    *folders, file = (place or "").split("/")
    named = all(map(_is_name, (*folders, file.partition(".")[0])))
    return place if named and place is not None else None


def lowest_python(tags: Iterable[Tag], requires: str) -> int:
    """The lowest minor version of Python 3 that a wheel's tags and its Requires-Python admit."""
    named = [match for tag in tags if (match := _INTERPRETER.fullmatch(tag.interpreter))]
    lowest = min((int(match["minor"] or 0) for match in named), default=0)
    admitted = (m for m in range(lowest, _FUTURE) if admitted_releases(requires, f"3.{m}"))
    return next(admitted, lowest)


def extension_stem(file: str, tags: Iterable[Tag]) -> str | None:
    """The module name of a file with an extension suffix that the wheel's Pythons load, else None."""
    match = _EXTENSION.fullmatch(file)
    if match is None:
        return None
    abi = match["abi"]
    if abi is None or abi in {"abi3", "abi3t"} or any(_loads(tag, abi) for tag in tags):
        return match["stem"]
    return None


def module_files(
    contents: Mapping[str, FileContent], files: Iterable[ElfFacts]
) -> tuple[ModuleFile, ...]:
    """The files that some Python takes for extension modules by their names alone, sorted by path.

    `contents` are the files that are called like native code and hold something else. A plain `.so` may
    be a library: it counts where it is initialised as a module, or is no ELF file and not called lib….
    """
    found, elf = [], {file.path: file for file in files}
    for path in sorted({*contents, *elf}):
        place = installed_path(path)
        match = _EXTENSION.fullmatch((place or "").rpartition("/")[2])
        folders = (place or "").split("/")[:-1]
        if match is None or not all(map(_is_name, folders)):
            continue
        stem, suffix = match["stem"], match["abi"] or ""
        own = folders[-1] if stem == "__init__" and folders else stem
        one = ModuleFile(
            path=path,
            name=".".join(folders if stem == "__init__" else [*folders, stem]),
            suffix=suffix,
            content=contents.get(path, FileContent.NATIVE),
            inits=path in elf and _defines(elf[path], "PyInit", {stem, own}),
            exports=path in elf and _defines(elf[path], "PyModExport", {stem, own}),
            pypy_init=path in elf and _defines(elf[path], "_cffi_pypyinit", {stem, own}),
        )
        plain = one.has_init or (path in contents and not stem.startswith("lib"))
        if _SUFFIX.fullmatch(suffix) if suffix else plain:
            found.append(one)
    return tuple(found)


def named_for_others(modules: Iterable[ModuleFile], tags: Iterable[Tag]) -> frozenset[str]:
    """The names of modules with no file that every Python of the tags surely finds."""
    abis = {tag.abi for tag in tags}
    exact = next(iter(abis)) if len(abis) == 1 else ""
    modules = tuple(modules)
    found = {one.name for one in modules if one.suffix in {"", "abi3"} or _is_of(one.suffix, exact)}
    return frozenset(one.name for one in modules) - found


def _is_of(suffix: str, abi: str) -> bool:
    match = _CPYTHON.fullmatch(suffix)
    return match is not None and f"cp{match['version']}{match['flags']}" == abi


def with_broken(
    extensions: Iterable[tuple[str, str]],
    modules: Iterable[ModuleFile],
    tags: Iterable[Tag],
    opened: Iterable[str],
) -> tuple[tuple[str, str], ...]:
    """The extension modules, and those that are some by their names only: an import shows it.

    A file without an init function that the wheel's own code opens by ctypes (`opened`, patterns of
    file names) is not one.
    """
    tags, patterns = tuple(tags), tuple(opened)
    found = set(extensions)
    for one in modules:
        file = one.path.rpartition("/")[2]
        by_path = any(fnmatchcase(file, pattern) for pattern in patterns)
        if extension_stem(file, tags) is not None and not by_path:
            found.add((one.name, one.path))
    return tuple(sorted(found))


# What a module's init function calls: CPython's moduleobject.h and modsupport.h, PEP 489, PEP 793.
_MODULE_MAKERS = frozenset(
    {
        "PyModule_Create2",
        "PyModule_Create2TraceRefs",
        "PyModuleDef_Init",
        "PyModule_FromDefAndSpec2",
        "PyModule_FromDefAndSpec2TraceRefs",
        "PyModule_FromSlotsAndSpec",
        "PyModule_New",
        "PyModule_NewObject",
    }
)


def makes_modules(elf: ElfFacts) -> bool:
    """Whether a file calls anything of Python's that makes a module."""
    return any(want.name in _MODULE_MAKERS for want in elf.wants)


def _defines(elf: ElfFacts, prefix: str, names: set[str]) -> bool:
    """Whether a file exports an init function of the kind for one of the names (PEP 489, PEP 793)."""
    exports = {export.partition("@")[0] for export in elf.exports if export.startswith(prefix)}
    if any(f"{prefix}_{name}" in exports for name in names):
        return True
    encoded = any(export.startswith(f"{prefix}U_") for export in exports)
    return encoded and bool(names & set(elf.exports_init))


def _loads(tag: Tag, abi: str) -> bool:
    """Whether an interpreter that `tag` fits loads files with the suffix `.{abi}.so`."""
    match = _CPYTHON.fullmatch(abi)
    if match is None:
        return _is_of_pypy_or_graalpy(tag, abi)
    version, flags = match["version"], match["flags"]
    if tag.abi.startswith("cp"):
        return tag.abi == f"cp{version}{flags}"
    if "d" in flags or (tag.abi == "abi3" and _is_before(version, tag)):
        return False
    if tag.abi == "none" and tag.interpreter.startswith("cp"):
        return tag.interpreter in {f"cp{version}", f"cp{version[0]}"}
    return True


def _is_of_pypy_or_graalpy(tag: Tag, abi: str) -> bool:
    """Such as `pypy311-pp73-x86_64-linux-gnu` of any ABI, `graalpy250-312-native-x86_64-linux`."""
    if tag.interpreter.startswith("pp"):
        return abi.startswith(f"pypy{tag.interpreter[2:]}-")
    return tag.abi.startswith("graalpy") and abi.startswith(f"{tag.abi.replace('_', '-')}-")


def _is_before(version: str, tag: Tag) -> bool:
    match = _INTERPRETER.fullmatch(tag.interpreter)
    return match is not None and int(version[1:] or 0) < int(match["minor"] or 0)


def _tree(
    files: Iterable[str], tags: tuple[Tag, ...], inits: Mapping[str, Iterable[str]]
) -> _SiteFolder:
    """The folders and modules of site-packages after an installation; other files left out."""
    root = _SiteFolder()
    for path in files:
        place = installed_path(path)
        if place is None:
            continue
        *folders, file = place.split("/")
        for module in _modules(file, folders, tags, inits.get(path, ())):
            node = root
            for folder in folders:
                node = node.folders.setdefault(folder, _SiteFolder())
            node.modules.add(module)
    return root


def _modules(
    file: str, folders: list[str], tags: tuple[Tag, ...], names: Iterable[str]
) -> Iterator[str]:
    """The module that a file is, if it is one."""
    stem, dot, suffix = file.partition(".")
    if "__pycache__" in folders or not dot:
        return
    if suffix in {"py", "pyc"}:
        yield stem
    elif (found := extension_stem(file, tags)) and _can_init(found, folders, names):
        yield found


def _can_init(stem: str, folders: list[str], names: Iterable[str]) -> bool:
    """A package's extension module is initialised under the package's own name."""
    if stem == "__init__" and folders:
        return bool({stem, folders[-1]} & set(names))
    return stem in set(names)


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)
