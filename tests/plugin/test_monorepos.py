"""Projects that live together: what a run without paths is of, and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from collecting import ids, make_project, make_wheel

SOME = ("--manylinux-distros=debian-12", "--manylinux-python=cp311")


def collect(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest("--manylinux", "--collect-only", "-q", *SOME, *arguments)


def root(pytester: pytest.Pytester, *packages: str, more: str = "") -> None:
    words = ", ".join(f'"{one}"' for one in packages)
    text = f"{more}\n[tool.pytest.ini_options]\n[tool.pytest-manylinux]\npackages = [{words}]\n"
    (pytester.path / "pyproject.toml").write_text(text, encoding="utf-8")


def named(folder: Path, name: str, requires: str = "") -> Path:
    project = make_project(folder)
    file = project / "pyproject.toml"
    text = file.read_text(encoding="utf-8").replace('"sample"', f'"{name}"')
    file.write_text(f"{text}dependencies = [{requires}]\n", encoding="utf-8")
    return project


def groups(result: pytest.RunResult) -> list[str]:
    return list(dict.fromkeys(line.partition("::")[0] for line in ids(result)))


def test_the_table_names_the_projects_of_a_bare_run(pytester: pytest.Pytester) -> None:
    root(pytester, "packages/*", "tools/cli")
    for name in ("packages/b", "packages/a", "tools/cli", "other"):
        make_project(pytester.path / name)
    (pytester.path / "packages" / "notes").mkdir()
    make_wheel(pytester.path / "packages" / "a" / "dist")
    make_project(pytester.path / "packages" / "a" / "vendored")
    found = collect(pytester)
    assert groups(found) == ["packages/a", "packages/b", "tools/cli"]
    assert len(ids(found)) == 9


def test_the_root_is_one_of_them_if_it_is_a_project(pytester: pytest.Pytester) -> None:
    root(pytester, "packages/*", more='[build-system]\nrequires = []\n[project]\nname = "root"\n')
    make_project(pytester.path / "packages" / "a")
    make_project(pytester.path / "other")
    found = groups(collect(pytester))
    assert sorted(found) == sorted(["packages/a", next(name for name in found if "/" not in name)])


@pytest.mark.parametrize("name", ["build", "dist", ".hidden", "venv"])
def test_a_project_that_is_named_counts_whatever_its_folder_is_called(
    pytester: pytest.Pytester, name: str
) -> None:
    root(pytester, name)
    make_project(pytester.path / name)
    assert groups(collect(pytester)) == [name]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("pakages/*", "*packages: no project matches 'pakages/*'*"),
        ("packages/c", "*packages: 'packages/c' is not a project*"),
        ("../*", "*is not inside of the project*"),
        ("linked", "*'linked' is not a project*"),
    ],
)
def test_a_pattern_that_stands_for_nothing_is_a_usage_error(
    pytester: pytest.Pytester, pattern: str, words: str
) -> None:
    root(pytester, pattern)
    make_project(pytester.path / "packages" / "a")
    (pytester.path / "linked").symlink_to(pytester.path / "packages" / "a")
    found = collect(pytester)
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines([words])


def test_paths_are_taken_as_they_are_and_ordered_by_what_they_require(
    pytester: pytest.Pytester,
) -> None:
    (pytester.path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    named(pytester.path / "packages" / "app", "the-app", "'The_Lib>=1'")
    named(pytester.path / "packages" / "lib", "the.lib", "'zeta'")
    named(pytester.path / "packages" / "zeta", "zeta")
    found = collect(pytester, "packages/app", "packages/lib", "packages/zeta")
    assert groups(found) == ["packages/zeta", "packages/lib", "packages/app"]


def test_a_root_without_a_build_system_names_what_is_below_it(pytester: pytest.Pytester) -> None:
    for name in ("packages/a", "packages/b"):
        make_project(pytester.path / name)
    found = collect(pytester)
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(
        [
            "*there are projects below it: packages/a packages/b",
            "*pytest --manylinux packages/a packages/b*",
        ]
    )


def test_ids_tell_projects_apart_without_a_configuration_above_them(
    pytester: pytest.Pytester,
) -> None:
    for name in ("repo/packages/a", "repo/packages/b"):
        make_project(pytester.path / name)
    os.chdir(pytester.path / "repo")
    assert groups(collect(pytester, "packages/a", "packages/b")) == ["packages/a", "packages/b"]
    (pytester.path / "elsewhere").mkdir()
    os.chdir(pytester.path / "elsewhere")
    found = groups(collect(pytester, "../repo/packages/a", "../repo/packages/b"))
    assert [name.rpartition("/")[2] for name in found] == ["a", "b"]
