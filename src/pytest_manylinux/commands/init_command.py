"""`pytest-manylinux init`: the table of settings with what a project already says, and a CI file."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_manylinux.building.project import Project, read_project
from pytest_manylinux.config.keys import BY_NAME
from pytest_manylinux.config.merge import TABLE
from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.escape import plain_line, printable
from pytest_manylinux.host.path_checks import require_plain
from pytest_manylinux.run.monorepo import is_project, projects_below
from pytest_manylinux.toml import parse_toml

CI_FILES = {
    "github": Path(".github/workflows/portability.yml"),
    "gitlab": Path(".gitlab-ci.yml"),
}
_GITHUB = """\
name: portability
on: [push, pull_request]
permissions:
  contents: read
jobs:
  prove:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install pytest-manylinux
      - run: |
          pytest --manylinux \\
            --manylinux-proof=reports/proof.json \\
            --manylinux-html=reports/portability.html \\
            --junitxml=reports/junit.xml
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: portability
          path: reports/
"""
_GITLAB = """\
portability:
  image: debian:13
  before_script:
    - apt-get update && apt-get install -y bubblewrap mmdebstrap uidmap python3-venv
    - python3 -m venv /proving && /proving/bin/pip install pytest-manylinux
  script:
    - >
      /proving/bin/pytest --manylinux
      --manylinux-proof=reports/proof.json
      --manylinux-html=reports/portability.html
      --junitxml=reports/junit.xml
  artifacts:
    when: always
    paths: [reports/]
    reports:
      junit: reports/junit.xml
"""
_CI_TEXTS = {"github": _GITHUB, "gitlab": _GITLAB}
_TAKEN = ("build", "skip", "archs")
"""Keys of `[tool.cibuildwheel]` that mean the same here."""
_IMAGE = "manylinux-x86_64-image"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `init`."""
    parser = subparsers.add_parser(
        "init",
        help="write a table of settings with what the project already says, and a CI file",
        description="Append [tool.pytest-manylinux] to pyproject.toml: what the build back end, "
        "requires-python and [tool.cibuildwheel] say of it. Nothing that is there is changed.",
    )
    parser.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="default: this one")
    parser.add_argument("--ci", choices=sorted(CI_FILES), help="write a CI file too")
    parser.add_argument("--print", action="store_true", help="print all of it, and write nothing")
    parser.set_defaults(func=_init)


def _init(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.folder)
    file = folder / "pyproject.toml"
    before = _text_of(file)
    addition = table_of(folder, before)
    line_break = _line_break(before)
    if before:
        addition = line_break * (1 if before.endswith("\n") else 2) + addition
    _check_whole(file, before, addition)
    added = [(file, addition)]
    if arguments.ci:
        added.append((_free(folder / CI_FILES[arguments.ci]), _CI_TEXTS[arguments.ci]))
    for path, text in added:
        if arguments.print:
            print(f"# {path}\n{text.strip()}\n")
        else:
            _append(path, text)
            print(f"{'added to' if path == file and before else 'wrote'} {path}")
    if not arguments.print:
        print(f"next: pytest --manylinux{'' if folder == Path() else f', in {folder}'}")
    return ExitCode.OK


def _text_of(file: Path) -> str:
    if not os.path.lexists(file):
        return ""
    try:
        require_plain(file)
        if not file.is_symlink():
            return file.read_bytes().decode("utf-8")
        why = "it is a link"
    except (OSError, UnicodeDecodeError) as error:
        why = str(error)
    raise UsageError(f"{file} is left alone", why=why, remedy="see the table with --print")


def table_of(folder: Path, before: str) -> str:
    """The table for a folder whose pyproject.toml is `before`; line breaks are those of that.

    Raises UsageError for a folder with neither a project nor projects below it, and for a table that
    is there already; ProjectError for a project that cannot be read.
    """
    document = _document(folder / "pyproject.toml", before)
    tool = document.get("tool", {})
    if isinstance(tool, Mapping) and TABLE in tool:
        raise UsageError(
            f"{folder / 'pyproject.toml'} has [tool.{TABLE}] already",
            why="nothing that is there is changed",
            remedy="add to it by hand: docs/reference/options.md has all settings",
        )
    project = read_project(folder) if is_project(folder) else None
    below = [] if project else projects_below(folder)
    if project is None and not below:
        raise UsageError(
            f"{folder} is not a project, and none is in the folders in it",
            why="neither setup.py nor a pyproject.toml with [build-system]",
            remedy="go to the project's folder, or name it: pytest-manylinux init FOLDER",
        )
    lines = [f"[tool.{TABLE}]"]
    lines += _of_project(project) if project else [f"packages = {_value(_patterns(below))}"]
    wheels = tool.get("cibuildwheel", {}) if isinstance(tool, Mapping) else {}
    lines += _of_cibuildwheel(wheels) if isinstance(wheels, Mapping) else []
    return _line_break(before).join([*lines, ""])


def _line_break(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _document(file: Path, text: str) -> Mapping[str, Any]:
    try:
        return parse_toml(text)
    except ValueError as error:  # TomlError is one
        raise UsageError(
            f"{file} cannot be read", why=str(error), remedy="correct the file at that place"
        ) from error


def _of_project(project: Project) -> Iterator[str]:
    words = f"# built by {project.backend}" + (f": {project.native[0]}" if project.native else "")
    yield printable(plain_line(words))  # a line break in either would end the comment
    if project.requires_python:
        yield f"# tried on the distros' Pythons that requires-python {project.requires_python!r} admits"
    yield '# distros = ["debian-11", "debian-12", "debian-13"]  # default: what the engine can have'


def _patterns(below: list[str]) -> list[str]:
    """`packages/*` where several are in a folder, else their names."""
    parents = [name.rpartition("/")[0] for name in below]
    several = {parent for parent in parents if parent and parents.count(parent) > 1}
    found = (
        f"{parent}/*" if parent in several else name
        for name, parent in zip(below, parents, strict=True)
    )
    return list(dict.fromkeys(found))


def _of_cibuildwheel(table: Mapping[str, Any]) -> Iterator[str]:
    """What its keys mean here, for Linux; what cannot be taken over is named in a comment."""
    linux = table.get("linux", {})
    merged = {**table, **(linux if isinstance(linux, Mapping) else {})}
    if merged.get("test-command"):
        yield 'test-command = "cibuildwheel"  # its test settings, in each trial'
    for name in (name for name in _TAKEN if merged.get(name)):
        yield _taken(name, merged[name])
    if merged.get(_IMAGE):
        yield _taken("policy", merged[_IMAGE])
    for name in ("before-all", "before-build", "repair-wheel-command"):
        if merged.get(name):
            yield f"# [tool.cibuildwheel] has {name}: see before-build and build-packages"


def _taken(name: str, value: object) -> str:
    try:
        BY_NAME[name].read(value, f"tool.cibuildwheel.{name}")
    except UsageError as error:
        said = " ".join(f"{error.what}".split())
        return plain_line(f"# [tool.cibuildwheel] is not taken here: {said}")
    return f"{name} = {_value(value)}  # as in [tool.cibuildwheel]"


def _value(value: object) -> str:
    """Strings and lists of them in TOML: JSON's are the same, but for DEL, which none has."""
    return json.dumps(value, ensure_ascii=False)


def _check_whole(file: Path, before: str, addition: str) -> None:
    """Raise UsageError, with the table, where a file cannot be added to."""
    try:
        parse_toml(before + addition)
    except ValueError as error:
        raise UsageError(
            f"{file} cannot be added to at its end",
            why=f"{error}\n{addition.strip()}",
            remedy="put these lines where they belong",
        ) from error


def _free(path: Path) -> Path:
    if os.path.lexists(path):
        raise UsageError(
            f"{path} is there already",
            why="nothing that is there is changed; nothing was written",
            remedy="see what it would hold with --print, after moving that file away",
        )
    return path


def _append(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written", why=error.strerror or str(error)) from error
