"""A newcomer finds a thing where the names say, and a concept is a file: neither cut up nor crowded."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections import defaultdict
from pathlib import Path

import pytest
from structure import SMALL, longest_chain, read_package

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/pytest_manylinux"

SHARED = {
    "api": "what every member of a pluggable family takes and gives",
    "engine": "each engine has a folder, and this is its way in",
    "protocol": "what crosses a wall, once to a sandbox and once to a cluster's worker",
}
"""Names of modules that several rooms may use, with the reason."""


def test_modules_have_names_of_their_own() -> None:
    found = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            found[path.stem.removesuffix("s")].append(path.relative_to(PACKAGE).as_posix())
    shared = {name: sorted(paths) for name, paths in found.items() if len(paths) > 1}
    assert shared.keys() - SHARED.keys() == set(), shared
    assert SHARED.keys() - shared.keys() == set(), "no longer shared: take the reason out"


SMALL_MODULES = {
    "building/inside/musl_sysconfig": "a file that is laid into a build's environment",
    "building/missing_from_python": "what no package of a distro brings, for every toolchain",
    "host/binfmt_main": "a program of its own",
    "host/path_checks": "asked by building/ and by run/, which have nothing else of it in common",
    "images/api": "a protocol",
    "images/hooks/musl_training": "a program of its own",
    "images/no_fsync": "a program of its own",
    "inspect/deflate": "the choice between two libraries, made when it is imported",
    "model/wheel_variants": "names alone: what lists an index needs neither distros nor Pythons",
    "other_plugins": "hooks of plugins that are not ours; those of pytest fill a module",
    "preload": "what Dask is told to load, by this name",
    "pythons/added": "the way in to the room: which of its other modules provides a Python",
    "pythons/inside/describe_cpython": "a program of its own",
    "toml": "the choice between two libraries, made when it is imported",
    "trials/inside/venv_layout": "what the agent and its steps share, which are more than that each",
    "trials/inside/install_by_uv": "a step of its own in the agent, which is at its limit",
}
"""Modules below SMALL lines that are no check, with the reason why they are no part of another one."""
MOST_LINES = 500
LONGEST_FUNCTION = 50
LONGEST_CHAIN = 14


def test_a_small_module_has_a_reason() -> None:
    small = {
        path.relative_to(PACKAGE).with_suffix("").as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
        and path.parent.name != "checks"
        and len(path.read_text(encoding="utf-8").splitlines()) < SMALL
    }
    assert small - SMALL_MODULES.keys() == set(), "part of a concept that has a file already?"
    assert SMALL_MODULES.keys() - small == set(), "no longer small: take the reason out"


def test_no_module_is_crowded() -> None:
    lines = {module.name: module.lines for module in read_package(PACKAGE)}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_function_is_long() -> None:
    modules = read_package(PACKAGE)
    long = {
        one.name: max(one.functions)
        for one in modules
        if max(one.functions, default=0) > LONGEST_FUNCTION
    }
    assert long == {}


def test_no_chain_of_imports_is_long() -> None:
    """Where it fails: a module takes one value of a big neighbour, or a type that it is only handed."""
    chain = longest_chain(read_package(PACKAGE))
    assert len(chain) <= LONGEST_CHAIN, " -> ".join(chain)


def questions() -> list[tuple[str, str]]:
    """Question and place, for each place that the table of CONTRIBUTING.md names."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## Where is")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?P<question>[^|]*\?) \| (?P<places>[^|]*) \|$", table, re.MULTILINE)
    return [
        (question, place) for question, places in rows for place in re.findall(r"`([^`]+)`", places)
    ]


def test_the_table_of_questions_is_read() -> None:
    assert len({question for question, _ in questions()}) == 12


@pytest.mark.parametrize(("question", "place"), questions())
def test_what_a_newcomer_asks_for_is_where_the_table_says(question: str, place: str) -> None:
    assert (PACKAGE / place).exists(), question


_IMPORT = re.compile(
    r"^from (?P<module>pytest_manylinux[\w.]*) import (?P<name>[a-z]\w+)$", re.MULTILINE
)


def test_what_tests_write_into_programs_imports_what_is_there() -> None:
    # Such text is seen by no type checker, and some of it is of suites that only run when asked for.
    named = {
        (match["module"], match["name"])
        for path in (ROOT / "tests").rglob("*.py")
        for match in _IMPORT.finditer(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 100
    found = {(module, name): _exists(module, name) for module, name in named}
    assert [one for one, there in found.items() if not there] == []


def _exists(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None
