"""Only package names reach a package manager: anything else in `build-packages` is a usage error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_manylinux.errors import ExitCode

pytestmark = pytest.mark.attack("escape")
NOT_NAMES = ["--simulate", "; id", "$(id)"]
PROJECT = """
[build-system]
requires = ["setuptools"]

[project]
name = "sample"
version = "1.0"
requires-python = ">=3.9"

"""


def make_project(folder: Path, table: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(PROJECT + table)


@pytest.fixture
def called(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that every program in a package manager's place leaves when it is called."""
    record, programs = pytester.path / "called", pytester.path / "programs"
    programs.mkdir()
    for name in ("apt-get", "mmdebstrap"):
        (programs / name).write_text(f'#!/bin/sh\necho "$0 $*" >> "{record}"\nexit 1\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin")
    return record


@pytest.mark.parametrize("entry", NOT_NAMES)
def test_a_projects_entry_that_is_no_name_is_a_usage_error(
    pytester: pytest.Pytester, called: Path, entry: str
) -> None:
    pytester.makeini("[pytest]")
    table = f"[tool.pytest-manylinux]\nbuild-packages = {json.dumps(['flex', entry])}\n"
    make_project(pytester.path / "project", table)
    result = pytester.runpytest("--manylinux", "project")
    assert result.ret == ExitCode.USAGE
    result.stdout.fnmatch_lines(["*build-packages: *is not the name of a distro package*"])
    assert repr(entry) in result.stdout.str()
    assert not called.exists()


@pytest.mark.parametrize("entry", NOT_NAMES)
def test_so_is_one_in_the_root_folders_own_settings(
    pytester: pytest.Pytester, called: Path, entry: str
) -> None:
    table = f"[tool.pytest-manylinux]\nbuild-packages = {json.dumps([entry])}\n"
    make_project(pytester.path, table)
    result = pytester.runpytest("--manylinux")
    assert result.ret == ExitCode.USAGE
    assert repr(entry) in result.stderr.str()
    assert not called.exists()


def test_names_are_taken(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]")
    table = '[tool.pytest-manylinux]\nbuild-packages = ["zlib1g-dev:amd64", "g++"]\n'
    make_project(pytester.path / "project", table)
    result = pytester.runpytest("--manylinux", "--collect-only", "-q", "project")
    assert result.ret == ExitCode.OK


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("archive", {"origin": "debian", "suite": "--setup-hook=id"}),
        ("archive", {"origin": "debian", "suite": "../../escape"}),
        ("archive", {"origin": "debian", "suite": "sid", "components": ["main\ndeb http://x y z"]}),
        ("archive", {"origin": "../../etc", "suite": "sid"}),
        ("interpreters", [{"version": "3.11", "packages": ["--simulate"]}]),
        ("interpreters", [{"version": "3.11", "packages": [], "headers": ["$(id)"]}]),
        ("package-manager", "sh"),
    ],
)
def test_a_row_of_the_projects_own_is_held_to_the_same(
    pytester: pytest.Pytester, called: Path, key: str, value: object
) -> None:
    row = {"id": "debian-12", key: value}
    pytester.makeini("[pytest]")
    text = f"[[tool.pytest-manylinux.distro]]\n{_toml(row)}"
    make_project(pytester.path, text)
    result = pytester.runpytest("--manylinux", "-c", "pyproject.toml")
    assert result.ret == ExitCode.USAGE
    assert not called.exists()


def _toml(row: dict[str, object]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in row.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)
