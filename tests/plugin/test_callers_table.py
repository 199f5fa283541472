"""Whose table holds for a run: the caller's, wherever the paths lie. Nothing here is built or run."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from collecting import WHEEL, ids, make_project, make_wheel

TABLE = '\n[tool.pytest-manylinux]\ndistros = ["debian-12"]\n'


@pytest.mark.parametrize("artifact", [WHEEL, "sample-1.0.tar.gz"])
@pytest.mark.parametrize("place", ["../elsewhere", "sub", "../../far/away"])
def test_the_callers_table_holds_wherever_a_path_lies(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: str, artifact: str
) -> None:
    here = make_project(pytester.path / "caller/project", TABLE)
    given = here / place
    if artifact == WHEEL:
        make_wheel(given, "sample-1.0-py3-none-any.whl")
    else:
        make_sdist(given, '\n[tool.pytest-manylinux]\ndistros = ["debian-13"]\n')
    monkeypatch.chdir(here)
    found = ids(pytester.runpytest("--manylinux", "--co", "-q", place))
    (trial,) = [line for line in found if "trial[" in line]
    assert "debian-12" in trial


def test_the_nearest_table_above_holds(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make_project(pytester.path / "project", TABLE) / "src/deep"
    here.mkdir(parents=True)
    make_wheel(pytester.path / "dist", "sample-1.0-py3-none-any.whl")
    monkeypatch.chdir(here)
    found = ids(pytester.runpytest("--manylinux", "--co", "-q", "../../../dist"))
    assert [line.partition("trial")[2] for line in found if "trial[" in line] == ["[debian-12-cp311]"]


def test_a_root_that_is_named_is_the_callers_word(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(pytester.path, TABLE)
    here = make_project(pytester.path / "project", TABLE.replace("debian-12", "debian-13"))
    make_wheel(pytester.path / "dist", "sample-1.0-py3-none-any.whl")
    monkeypatch.chdir(here)
    found = ids(pytester.runpytest("--manylinux", "--co", "-q", "--rootdir=..", "../dist"))
    assert [line.partition("trial")[2] for line in found if "trial[" in line] == ["[debian-12-cp311]"]


def make_sdist(folder: Path, more: str) -> None:
    """A source distribution whose own table says something else."""
    folder.mkdir(parents=True, exist_ok=True)
    project = make_project(folder / "unpacked", more)
    with tarfile.open(folder / "sample-1.0.tar.gz", "w:gz") as archive:
        archive.add(project / "pyproject.toml", "sample-1.0/pyproject.toml")
        archive.addfile(tarfile.TarInfo("sample-1.0/PKG-INFO"))
    (project / "pyproject.toml").unlink()
    project.rmdir()


@pytest.mark.parametrize("broken", ["[tool.pytest-manylinux]\nx = \n", '\nname = "twice"\nname = ""\n'])
def test_a_table_that_cannot_be_read_is_not_passed_over(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    here = pytester.mkdir("caller")
    (here / "pyproject.toml").write_text(f"{TABLE}{broken}", encoding="utf-8")
    make_wheel(pytester.path / "dist", "sample-1.0-py3-none-any.whl")
    monkeypatch.chdir(here)
    result = pytester.runpytest("--manylinux", "--co", "-q", "../dist")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: pyproject.toml cannot be read"])
