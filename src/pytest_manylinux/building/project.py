"""What can be said of a project before it is built: static facts, read without running any of it."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from pytest_manylinux.building.tree import Tree, is_sdist, open_tree
from pytest_manylinux.errors import ProjectError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
"""The back end of a project that names none (PEP 517, "Build system backend")."""

_NATIVE_SUFFIXES = frozenset(
    {
        *(".c", ".cc", ".cpp", ".cxx", ".c++", ".cu", ".m", ".mm", ".s", ".asm"),
        *(".pyx", ".rs", ".f", ".f90", ".f95", ".for", ".i", ".d", ".go", ".zig"),
    }
)
_ASIDE = frozenset({"test", "tests", "testing", "doc", "docs", "example", "examples", "benchmarks"})
_SETUP_EXTENSION = re.compile(r"\bext_modules\b|\bcffi_modules\b|\brust_extensions\b|\bcythonize\b")
_MESON_EXTENSION = re.compile(r"\b(?:extension_module|shared_library|shared_module|executable)\s*\(")
_LIMITED_API = re.compile(
    r"py_limited_api|Py_LIMITED_API|limited[-_]api|\babi3\b|STABLE_ABI|USE_SABI|py-api"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project folder or an sdist. Empty strings: only running the project's code would tell.

    `name` is normalized (PEP 503). `backend_path` are folders of the project that hold its own back
    end. `native` holds the evidence that it builds native code, a line each; empty if it seems to be
    pure. `limited_api` is a hint that its wheel may serve many Pythons.
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


def read_project(path: Path) -> Project:
    """Read a project folder or an sdist.

    Raises ProjectError for a path that is neither, an archive that cannot be read or is unsafe, a
    pyproject.toml that is no TOML, and a project without a build system (no [build-system] table
    and no setup.py: pip would guess setuptools, which gives an empty wheel more often than not).
    """
    tree = open_tree(path)
    table = _pyproject(tree)
    build_system = table.get("build-system")
    if not isinstance(build_system, dict) and "setup.py" not in tree.names:
        raise ProjectError(
            f"{path} is no project that can be built",
            why="it has neither a [build-system] table in pyproject.toml nor a setup.py",
            remedy="add a [build-system] table with `requires` and `build-backend`",
        )
    system: Mapping[str, Any] = build_system if isinstance(build_system, dict) else {}
    known = _metadata(tree, table)
    texts = tree.texts
    return Project(
        path=path,
        is_sdist=is_sdist(path),
        name=canonicalize_name(known["name"]) if known.get("name") else "",
        version=known.get("version", ""),
        requires_python=known.get("requires-python", ""),
        backend=str(system.get("build-backend", LEGACY_BACKEND)),
        backend_path=tuple(str(word) for word in system.get("backend-path", ())),
        build_requires=tuple(str(word) for word in system.get("requires", ("setuptools",))),
        native=_native_evidence(tree, table),
        limited_api=any(_LIMITED_API.search(text) for text in texts.values()),
    )


def _pyproject(tree: Tree) -> Mapping[str, Any]:
    text = tree.texts.get("pyproject.toml")
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(
            f"{tree.path / 'pyproject.toml'} is not valid TOML",
            why=str(error),
            remedy="mend the file at that place",
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


def _declarations(tree: Tree, table: Mapping[str, Any]) -> list[str]:
    found = []
    build_system = table.get("build-system")
    backend = str(build_system.get("build-backend", "")) if isinstance(build_system, dict) else ""
    if _SETUP_EXTENSION.search(tree.texts.get("setup.py", "")):
        found.append("setup.py declares extension modules")
    if "ext-modules" in str(table.get("tool", {}).get("setuptools", "")):
        found.append("pyproject.toml declares extension modules")
    if backend.startswith("mesonpy"):
        found += [
            f"{name} declares native targets"
            for name, text in tree.texts.items()
            if name.endswith("meson.build") and _MESON_EXTENSION.search(text)
        ]
    if backend.startswith(("scikit_build_core", "maturin", "py_build_cmake", "cmeel")):
        found.append(f"the build back end is {backend}")
    return found


def _is_native_source(name: str) -> bool:
    parts = name.lower().split("/")
    return Path(name).suffix.lower() in _NATIVE_SUFFIXES and _ASIDE.isdisjoint(parts[:-1])
