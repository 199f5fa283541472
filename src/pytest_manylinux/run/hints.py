"""What people are told who know other tools, or mistype: flags and variables that would do nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_manylinux.config.cibuildwheel import WORD
from pytest_manylinux.config.options import OPTIONS, PREFIX, REPORTS, SWITCHES
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.errors import UsageError
from pytest_manylinux.escape import printable
from pytest_manylinux.toml import TomlError, parse_toml

# cibuildwheel's own (`cibuildwheel --help`, 3.0), and what does the same here.
_CIBUILDWHEEL = {
    "--archs": "--manylinux-archs=ARCHS",
    "--config-file": "[tool.pytest-manylinux] in pyproject.toml",
    "--only": "--manylinux-build=IDENTIFIER",
    "--output-dir": "--manylinux-wheelhouse=DIR",
    "--platform": "nothing: all is for Linux; --manylinux-policy=musllinux_1_2 is for musl",
    "--print-build-identifiers": "--collect-only -q",
}
_XDIST = ("-n", "--numprocesses", "--dist")
# By how their flags start, the plugins that projects name most.
_OF_PLUGINS = {
    "-n": "pytest-xdist",
    "--asyncio": "pytest-asyncio",
    "--benchmark": "pytest-benchmark",
    "--cov": "pytest-cov",
    "--dist": "pytest-xdist",
    "--no-cov": "pytest-cov",
    "--numprocesses": "pytest-xdist",
    "--reruns": "pytest-rerunfailures",
    "--timeout": "pytest-timeout",
}
_VARIABLE = "CIBW_"
_SHOWN = 4  # variables named; the rest is counted


def flags() -> tuple[str, ...]:
    """All flags of ours."""
    settings = (option.flag for option in (*OPTIONS, *REPORTS) if option.metavar)
    return ("--manylinux", *settings, *(switch.flag for switch in SWITCHES))


def check_unknown(words: Sequence[str], addopts: Sequence[str] = ()) -> None:
    """Raise UsageError for words that pytest does not know, where it is known what they are.

    Those of a project's `addopts` are for plugins that are not here. Of others, the first counts that
    one of our flags, or of cibuildwheel's, may be for; what looks like neither is left to pytest.
    """
    _check_added([word for word in words if word in addopts])
    for word in words:
        name = word.partition("=")[0]
        if remedy := _remedy(name):
            raise UsageError(f"there is no option {printable(name)}", remedy=remedy)


def _check_added(words: Sequence[str]) -> None:
    """Raise UsageError if `addopts` adds words for plugins that are not installed."""
    if not words:
        return
    names = dict.fromkeys(word.partition("=")[0] for word in words)
    known = (plugin for start, plugin in _OF_PLUGINS.items() if any(n.startswith(start) for n in names))
    wanted = " and ".join(dict.fromkeys(known)) or "the plugins that they are for"
    raise UsageError(
        f"pytest does not know {', '.join(map(printable, words))}",
        why="the project's addopts add that for a plugin which is not installed here",
        remedy=f"install {wanted} beside pytest-manylinux, or leave them out: "
        "`pytest --manylinux -o addopts=`",
    )


def _remedy(name: str) -> str:
    """What to type instead of an unknown flag; empty if nothing is near."""
    if name in _CIBUILDWHEEL:
        return f"that is an option of cibuildwheel; here it is {_CIBUILDWHEEL[name]}"
    if name in _XDIST:
        return (
            "that is pytest-xdist's, which is not installed; builds and trials run side by side"
            " without it: --manylinux-jobs=N"
        )
    bare = name.removeprefix("--")
    if name.startswith("--") and f"{PREFIX}{bare}" in flags():
        return f"perhaps you meant {PREFIX}{bare}"
    if not name.startswith("--manylinux"):
        return ""
    names = [flag.removeprefix(PREFIX) for flag in flags() if flag.startswith(PREFIX)]
    near = difflib.get_close_matches(name.removeprefix(PREFIX), names, n=1)
    return f"perhaps you meant {PREFIX}{near[0]}" if near else "`pytest --help` lists them all"


def nothing_notes(paths: Iterable[str]) -> list[str]:
    """A line on why a run has no items; `paths` are those that it was given, as pytest has them."""
    shown = ", ".join(printable(path) for path in paths)
    what = f"nothing to try: there is no wheel, sdist or project in {shown}"
    return [f"{what}; with --manylinux, tests are collected only if --manylinux-with-tests is added"]


def habit_notes(settings: Settings, own: Path, environment: Mapping[str, str]) -> list[str]:
    """Lines on settings of cibuildwheel that hold for nothing here; `own` has the run's table."""
    notes = []
    if found := sorted(name for name in environment if name.startswith(_VARIABLE)):
        names = ", ".join(map(printable, found[:_SHOWN]))
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        notes.append(f"{names}{more}: cibuildwheel's, not read here{_ours(found)}")
    table = _cibuildwheel(own)
    if "test-command" in table and not settings.test_command:
        notes.append(
            f"the test-command of [tool.{WORD}] is not run: "
            f'test-command = "{WORD}" in [tool.pytest-manylinux] runs it in each trial'
        )
    return notes


def _ours(names: Iterable[str]) -> str:
    """The variables of ours that mean the same, as a clause."""
    known = {option.variable for option in OPTIONS if option.metavar}
    wanted = (f"PYTEST_MANYLINUX_{name.removeprefix(_VARIABLE)}" for name in names)
    same = [name for name in wanted if name in known][:_SHOWN]
    return f"; {', '.join(same)} would be" if same else ""


def _cibuildwheel(own: Path) -> Mapping[str, Any]:
    """The table of cibuildwheel, with what it says for Linux; empty if there is none to be read."""
    try:
        document = parse_toml((own / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TomlError):
        return {}
    tool = document.get("tool")
    table = tool.get(WORD) if isinstance(tool, dict) else None
    linux = table.get("linux") if isinstance(table, dict) else None
    if not isinstance(table, dict):
        return {}
    return {**table, **linux} if isinstance(linux, dict) else table
