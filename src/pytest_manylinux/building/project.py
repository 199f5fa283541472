"""A project folder or an sdist before it is built: its files, and the static facts in a few of them.

None of its code is run.
"""

from __future__ import annotations

import ast
import configparser
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from packaging.utils import canonicalize_name

from pytest_manylinux.errors import ProjectError
from pytest_manylinux.escape import printable
from pytest_manylinux.host.path_checks import MAX_TEXT, is_file_of
from pytest_manylinux.toml import TomlError, parse_toml

SDIST_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""PEP 625 knows .tar.gz only; the others are what older indexes still hold."""

MAX_UNPACKED = 1024**3
"""Bytes of a project's files: a sandbox's 2 GiB hold them twice, packed and unpacked."""
MAX_ENTRIES = 200_000
_MAX_SCAN = 20_000
_DESCRIBES = frozenset({"pyproject.toml", "setup.py", "setup.cfg", "PKG-INFO"})
_DESCRIBES_BELOW = frozenset({"meson.build"})
JUNK = frozenset(
    {
        *("__pycache__", ".git", ".hg", ".svn", ".tox", ".nox", ".venv", ".eggs", "node_modules"),
        *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".idea", ".vscode"),
    }
)
"""Folders that are no part of a project wherever they lie."""
JUNK_AT_TOP = frozenset({"build", "dist", "wheelhouse", "venv", "env"})
"""Folders that are left over from earlier work if they lie in a project's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """`names` are file paths relative to the root, with forward slashes; `texts` a few contents."""

    path: Path
    names: frozenset[str]
    texts: dict[str, str]


def is_sdist(path: Path) -> bool:
    """Whether the path is a file with an sdist's suffix."""
    return path.name.lower().endswith(SDIST_SUFFIXES) and path.is_file()


def open_tree(path: Path) -> Tree:
    """List a project folder or an sdist; raises ProjectError for anything else or unsafe members."""
    if path.is_dir():
        return _folder(path)
    if not is_sdist(path):
        raise ProjectError(
            f"{path} is neither a project folder nor an sdist",
            why="it does not exist" if not path.exists() else "its name has no sdist's suffix",
            remedy="give a folder with pyproject.toml or setup.py, an sdist (.tar.gz) or a wheel",
        )
    names: set[str] = set()
    texts: dict[str, str] = {}
    with reading_sdist(path) as members:
        for member in members:
            names.add(member.name)
            if member.content is not None and _describes(member.name) and member.size <= MAX_TEXT:
                texts[member.name] = member.content.read().decode("utf-8", errors="replace")
    return Tree(path=path, names=frozenset(names), texts=texts)


def _folder(path: Path) -> Tree:
    names: list[str] = []
    texts: dict[str, str] = {}
    for name in walk(path):
        names.append(name)
        file = path / name
        if _describes(name) and is_file_of(path, file):
            try:
                if file.stat().st_size <= MAX_TEXT:
                    texts[name] = file.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                _unreadable(error)
        if len(names) >= _MAX_SCAN:
            break
    return Tree(path=path, names=frozenset(names), texts=texts)


def walk(folder: Path) -> Iterator[str]:
    """Names of all files and links below a folder, junk left out, in a stable order.

    Raises ProjectError for a folder that cannot be read.
    """
    for here, folders, files in os.walk(folder, onerror=_unreadable):
        top = Path(here) == folder
        try:
            kept = sorted(name for name in folders if not _is_junk(Path(here) / name, top=top))
        except OSError as error:  # a path that is longer than the kernel takes
            _unreadable(error)
        prefix = "" if top else f"{Path(here).relative_to(folder).as_posix()}/"
        folders[:] = [name for name in kept if not (Path(here) / name).is_symlink()]
        links = [name for name in kept if (Path(here) / name).is_symlink()]
        yield from (f"{prefix}{name}" for name in sorted([*files, *links]))


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a folder that has just gone
        name = os.fsdecode(error.filename)
        if len(name) > 200:  # noqa: PLR2004 - as that of a folder that lies too deep
            name = f"{name[:100]}…{name[-100:]}"
        raise ProjectError(
            f"{printable(name)} cannot be read",
            why=error.strerror or str(error),
            remedy="make it readable, or move it out of the project",
        ) from error


def is_junk(name: str) -> bool:
    """Whether a file's name lies in a folder that is no part of a project."""
    folders = name.split("/")[:-1]
    return not JUNK.isdisjoint(folders) or (bool(folders) and folders[0] in JUNK_AT_TOP)


def _is_junk(folder: Path, *, top: bool) -> bool:
    if folder.name in JUNK or (folder / "pyvenv.cfg").is_file():
        return True
    return top and folder.name in JUNK_AT_TOP and not (folder / "__init__.py").is_file()


def _describes(name: str) -> bool:
    return name in _DESCRIBES or name.rsplit("/", 1)[-1] in _DESCRIBES_BELOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file or link of an sdist, its top folder taken off. `content` is None for links.

    Read the content before the next member is asked for: archives are read as streams.
    """

    name: str
    size: int
    mode: int
    mtime: int
    link: str = ""
    content: IO[bytes] | None = None


@contextmanager
def reading_sdist(path: Path) -> Iterator[Iterator[Member]]:
    """Stream the files and links of an sdist.

    Raises ProjectError, also while contents are read, for an archive that cannot be read, holds
    more than one top folder, is bigger than bounds allow, or holds members that tarfile's `data`
    filter (PEP 706) would refuse: absolute names, names or links that lead out of the top folder,
    devices, pipes.
    """
    try:
        yield _checked(path)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, KeyError) as error:
        raise ProjectError(
            f"{path.name} cannot be read as an sdist",
            why=str(error) or type(error).__name__,
            remedy="download or make it again",
        ) from error


def _checked(path: Path) -> Iterator[Member]:
    total = 0
    top: str | None = None
    for count, member in enumerate(_members(path)):
        total += member.size
        if total > MAX_UNPACKED or count >= MAX_ENTRIES:
            raise ProjectError(
                f"{path.name} is too big", why=f"it unpacks to more than {MAX_UNPACKED >> 20} MiB"
            )
        first, _, rest = member.name.removeprefix("./").partition("/")
        if top is None:
            top = first
        _check(path, member, rest, same_top=first == top)
        yield replace(member, name=rest)


def _check(path: Path, member: Member, rest: str, *, same_top: bool) -> None:
    name = PurePosixPath(member.name)
    target = PurePosixPath(rest).parent / member.link
    depth = 0
    for part in target.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            break
    if name.is_absolute() or ".." in name.parts or not rest or not same_top:
        why = f"its member {member.name!r} does not lie below the one folder that an sdist holds"
    elif member.link and (target.is_absolute() or depth < 0):
        why = f"its member {member.name!r} links to {member.link!r}, outside the archive"
    else:
        return
    raise ProjectError(f"{path.name} is no sound sdist", why=why, remedy="do not trust this file")


def _members(path: Path) -> Iterator[Member]:
    with tarfile.open(path, mode="r:*") as archive:
        for entry in archive:
            if entry.isdir() or entry.name in {"", ".", "pax_global_header"}:
                continue
            if not (entry.isreg() or entry.issym() or entry.islnk()):
                raise ProjectError(
                    f"{path.name} is no sound sdist",
                    why=f"its member {entry.name!r} is a device or pipe",
                    remedy="do not trust this file",
                )
            yield _member(archive, entry)


def _member(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Member:
    """Hard links become copies of what they name; symbolic links stay links."""
    content = archive.extractfile(entry) if entry.isreg() or entry.islnk() else None
    size = archive.getmember(entry.linkname).size if entry.islnk() else entry.size
    return Member(
        name=entry.name,
        size=size,
        mode=entry.mode,
        mtime=int(entry.mtime),
        link=entry.linkname if entry.issym() else "",
        content=content,
    )


LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
"""The back end of a project that names none (PEP 517, "Build system backend")."""

_NATIVE_SUFFIXES = frozenset(
    {
        *(".c", ".cc", ".cpp", ".cxx", ".c++", ".cu", ".m", ".mm", ".s", ".asm"),
        *(".pyx", ".rs", ".f", ".f90", ".f95", ".for", ".i", ".d", ".go", ".zig"),
    }
)
ASIDE = frozenset({"test", "tests", "testing", "doc", "docs", "example", "examples", "benchmarks"})
"""Folders of a project, by their names in lower case, whose files are not built into its wheel."""
_NATIVE_BACK_ENDS = ("scikit_build_core", "maturin", "py_build_cmake", "cmeel")
_SETUP_EXTENSION = re.compile(r"\bext_modules\b|\bcffi_modules\b|\brust_extensions\b|\bcythonize\b")
_MESON_EXTENSION = re.compile(r"\b(?:extension_module|shared_library|shared_module|executable)\s*\(")
# Build requirements that run git to learn a version; setuptools-scm is made of vcs-versioning.
_VERSION_FROM_GIT = frozenset(
    {
        *(
            "setuptools-scm",
            "vcs-versioning",
            "hatch-vcs",
            "flit-scm",
            "versioningit",
            "versioneer",
            "pbr",
        ),
        *("setuptools-git", "setuptools-git-versioning", "setuptools-gitver", "dunamai", "setupmeta"),
        *("poetry-dynamic-versioning", "uv-dynamic-versioning", "hatch-dynamic-versioning"),
    }
)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_MESON_GIT = re.compile(r"\bvcs_tag\s*\(|\brun_command\s*\(\s*'git'")
_LIMITED_API = re.compile(
    r"py_limited_api|Py_LIMITED_API|limited[-_]api|\babi3\b|STABLE_ABI|USE_SABI|py-api"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project folder or an sdist. Empty strings: only running the project's code would tell.

    `name` is normalized (PEP 503). `backend_path` are folders of the project that hold its own back
    end. `native` holds the evidence that it builds native code, a line each; empty if it seems to be
    pure. `limited_api` is a hint that its wheel may serve many Pythons. `requires` are its runtime
    requirements as far as its files say them, those of extras included; the wheel's own decide.
    `asks_git` tells that it lies in a git repository which knows its version.
    """

    path: Path
    is_sdist: bool
    name: str = ""
    version: str = ""
    requires_python: str = ""
    backend: str = LEGACY_BACKEND
    backend_path: tuple[str, ...] = ()
    build_requires: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    limited_api: bool = False
    requires: tuple[str, ...] = ()
    asks_git: bool = False


def read_project(path: Path) -> Project:
    """Read a project folder or an sdist.

    Raises ProjectError for a path that is neither, an archive that cannot be read or is unsafe, a
    pyproject.toml that is not TOML, a [build-system] table that breaks PEP 518, and a project without a
    build system (no such table and no setup.py: pip would guess setuptools, which gives an empty wheel
    more often than not).
    """
    tree = open_tree(path)
    table = _pyproject(tree)
    build_system = table.get("build-system")
    if not isinstance(build_system, dict) and "setup.py" not in tree.names:
        raise ProjectError(
            f"{path} is not a project that can be built",
            why="it has neither a [build-system] table in pyproject.toml nor a setup.py",
            remedy="add a [build-system] table with `requires` and `build-backend`",
        )
    system = _checked_system(path, build_system) if "build-system" in table else {}
    known = _metadata(tree, table)
    texts = tree.texts
    return Project(
        path=path,
        is_sdist=is_sdist(path),
        name=canonicalize_name(known["name"]) if known.get("name") else "",
        version=known.get("version", ""),
        requires_python=known.get("requires-python", ""),
        backend=str(system.get("build-backend", LEGACY_BACKEND)),
        backend_path=tuple(system.get("backend-path", ())),
        build_requires=tuple(system.get("requires", ("setuptools",))),
        native=_native_evidence(tree, table),
        limited_api=any(_LIMITED_API.search(text) for text in texts.values()),
        requires=_requirements(texts.get("PKG-INFO", ""), table.get("project")),
        asks_git=_asks_git(tree, table, system.get("requires", ())),
    )


def _asks_git(tree: Tree, table: Mapping[str, Any], requires: Iterable[str]) -> bool:
    """Whether its version comes from git (by setuptools-scm and its like), which is there to ask."""
    if not tree.path.is_dir() or not any(
        (folder / ".git").exists() for folder in (tree.path.resolve(), *tree.path.resolve().parents)
    ):
        return False
    names = {canonicalize_name(match[0]) for one in requires if (match := _NAME.match(one.strip()))}
    pdm = _tool(table, "pdm")
    version = pdm.get("version") if isinstance(pdm, dict) else None
    return (
        not names.isdisjoint(_VERSION_FROM_GIT)
        or "versioneer.py" in tree.names
        or (isinstance(version, dict) and version.get("source") == "scm")
        or any(_MESON_GIT.search(text) for text in tree.texts.values())
    )


def _requirements(information: str, declared: object) -> tuple[str, ...]:
    """An sdist's Requires-Dist, else what the table [project] has, of extras too."""
    head = information.split("\n\n", 1)[0]
    if lines := re.findall(r"^Requires-Dist:[ \t]*(.+)$", head, flags=re.MULTILINE):
        return tuple(lines)
    table = declared if isinstance(declared, dict) else {}
    extras = table.get("optional-dependencies")
    lists = [table.get("dependencies"), *(extras.values() if isinstance(extras, dict) else ())]
    rows = (row for found in lists if isinstance(found, list) for row in found)
    return tuple(row for row in rows if isinstance(row, str))


def _checked_system(path: Path, system: object) -> Mapping[str, Any]:
    """The table [build-system]; raises ProjectError for what PEP 518 and PEP 517 do not allow."""
    wrong = ""
    if not isinstance(system, dict):
        wrong = "it is not a table"
    elif "requires" not in system:
        wrong = "it has no `requires`, which may be empty but must be there"
    elif not isinstance(system.get("build-backend", ""), str):
        wrong = "`build-backend` is not a string"
    else:
        for key in ("requires", "backend-path"):
            words = system.get(key, [])
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                wrong = f"`{key}` is not an array of strings"
    if wrong or not isinstance(system, dict):
        raise ProjectError(
            f"[build-system] in pyproject.toml of {path} is not valid",
            why=wrong,
            remedy="correct that table (PEP 518)",
        )
    return system


def _pyproject(tree: Tree) -> Mapping[str, Any]:
    text = tree.texts.get("pyproject.toml")
    if text is None:
        return {}
    try:
        return parse_toml(text)
    except TomlError as error:
        raise ProjectError(
            f"{tree.path / 'pyproject.toml'} is not valid TOML",
            why=str(error),
            remedy="correct the file at that place",
        ) from error


def _metadata(tree: Tree, table: Mapping[str, Any]) -> dict[str, str]:
    """Name, version and Requires-Python from the strongest source that knows them.

    An sdist's PKG-INFO is final (PEP 643 aside, which only marks what may still change), then the
    [project] table (PEP 621), then setup.cfg, then literal arguments in setup.py.
    """
    project = table.get("project")
    declared = project if isinstance(project, dict) else {}
    known: dict[str, str] = {}
    for source in (
        _setup_arguments(tree.texts.get("setup.py", "")),
        _setup_cfg(tree.texts.get("setup.cfg", "")),
        {key: declared[key] for key in ("name", "version", "requires-python") if key in declared},
        _package_information(tree.texts.get("PKG-INFO", "")),
    ):
        known |= {key: value.strip() for key, value in source.items() if isinstance(value, str)}
    return known


def _package_information(text: str) -> dict[str, str]:
    head = text.split("\n\n", 1)[0]
    fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", head, flags=re.MULTILINE))
    wanted = ("Name", "Version", "Requires-Python")
    return {key.lower(): fields[key] for key in wanted if key in fields}


def _setup_cfg(text: str) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    places = {
        "name": ("metadata", "name"),
        "version": ("metadata", "version"),
        "requires-python": ("options", "python_requires"),
    }
    found = {key: parser.get(*place, fallback="") for key, place in places.items()}
    return {key: value for key, value in found.items() if value and "attr:" not in value}


def _setup_arguments(text: str) -> dict[str, str]:
    """The literal arguments of `setup(…)`; computed ones stay unknown."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    keys = {"name": "name", "version": "version", "python_requires": "requires-python"}
    found: dict[str, str] = {}
    for call in ast.walk(module):
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "setup":
            for word in call.keywords:
                if word.arg in keys and isinstance(word.value, ast.Constant):
                    found[keys[word.arg]] = str(word.value.value)
    return found


def _native_evidence(tree: Tree, table: Mapping[str, Any]) -> tuple[str, ...]:
    """Both a declaration and a source file: either alone is common in pure projects."""
    declaration = next(iter(_declarations(tree, table)), None)
    source = next((name for name in sorted(tree.names) if _is_native_source(name)), None)
    return (declaration, f"{source} is native source") if declaration and source else ()


def _tool(table: Mapping[str, Any], name: str) -> object:
    tool = table.get("tool")  # which need be no table
    return tool.get(name, {}) if isinstance(tool, dict) else {}


def _declarations(tree: Tree, table: Mapping[str, Any]) -> list[str]:
    found = []
    build_system = table.get("build-system")
    backend = str(build_system.get("build-backend", "")) if isinstance(build_system, dict) else ""
    if _SETUP_EXTENSION.search(tree.texts.get("setup.py", "")):
        found.append("setup.py declares extension modules")
    if "ext-modules" in str(_tool(table, "setuptools")):
        found.append("pyproject.toml declares extension modules")
    if backend.startswith("mesonpy"):
        found += [
            f"{name} declares native targets"
            for name, text in tree.texts.items()
            if name.endswith("meson.build") and _MESON_EXTENSION.search(text)
        ]
    if backend.startswith(_NATIVE_BACK_ENDS) and not _is_kept_pure(table):
        found.append(f"the build back end is {backend}")
    return found


def _is_kept_pure(table: Mapping[str, Any]) -> bool:
    """Whether scikit-build-core is told that its wheel is pure, whatever CMake installs."""
    settings = _tool(table, "scikit-build")
    wheel = settings.get("wheel", {}) if isinstance(settings, dict) else {}
    return isinstance(wheel, dict) and (wheel.get("platlib") is False or wheel.get("cmake") is False)


def _is_native_source(name: str) -> bool:
    parts = name.lower().split("/")
    return Path(name).suffix.lower() in _NATIVE_SUFFIXES and ASIDE.isdisjoint(parts[:-1])
