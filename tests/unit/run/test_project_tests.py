"""The settings of a project's own tests, for each target."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from trial_values import make_target

from pytest_manylinux.building.project import read_project
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.config.cibuildwheel import suite_values
from pytest_manylinux.config.merge import Layer, file_layer, merge
from pytest_manylinux.config.settings import Settings, SourceKind
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.policy import Policy, PolicyChoice
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.plan import PlannedBuild
from pytest_manylinux.run.project_tests import Suites, check_skipped, grouped, identifier
from pytest_manylinux.run.subjects import BuildJob, ProjectSubject, WheelSubject
from pytest_manylinux.trials.suite import SuiteRequest

TARGET = make_target()
BUILD_SYSTEM = '[build-system]\nrequires = ["setuptools"]\n'


@pytest.fixture
def suites(tmp_path: Path) -> Iterator[Suites]:
    made = Suites(own=tmp_path, wheelhouse=tmp_path / "wheelhouse", say=print, cores=1)
    yield made
    made.close()


def settings_of(path: Path, *, kind: SourceKind = SourceKind.PROJECT) -> Settings:
    return merge([file_layer(path / "pyproject.toml", shown="pyproject.toml", kind=kind)])


def job(path: Path, settings: Settings | None = None) -> BuildJob:
    subject = ProjectSubject(
        project=read_project(path), settings=settings or settings_of(path), group=path.name
    )
    build = PlannedBuild(
        python=parse_python("cp311", where=""),
        choice=PolicyChoice(Policy((2, 5))),
        root=None,
        arch="x86_64",
    )
    return BuildJob(subject=subject, build=build)


def project(path: Path, text: str, *files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "pyproject.toml").write_text(BUILD_SYSTEM + text)
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("")
    return path


def suite(suites: Suites, path: Path, text: str, *files: str) -> SuiteRequest:
    found = suites.of(job(project(path, text, *files)), TARGET)
    assert found is not None
    return found


def test_without_a_command_there_are_no_tests(suites: Suites, tmp_path: Path) -> None:
    assert suites.of(job(project(tmp_path, "")), TARGET) is None


def test_a_command_that_speaks_of_no_tree_has_none(suites: Suites, tmp_path: Path) -> None:
    found = suite(suites, tmp_path, '[tool.pytest-manylinux]\ntest-command = "pytest --pyargs demo"')
    assert (found.tree, found.settings.command, found.settings.timeout) == (
        None,
        ("pytest --pyargs demo",),
        600.0,
    )


def test_the_tree_is_packed_once_without_the_wheelhouse(suites: Suites, tmp_path: Path) -> None:
    text = '[tool.pytest-manylinux]\ntest-command = "pytest {project}/tests"'
    first = suite(suites, tmp_path, text, "tests/test_a.py", "wheelhouse/demo.whl")
    again = suites.of(job(tmp_path), TARGET)
    assert again is not None
    assert first.tree == again.tree
    assert first.tree is not None
    with tarfile.open(first.tree) as archive:
        names = archive.getnames()
    assert "project/tests/test_a.py" in names
    assert not any("wheelhouse" in name for name in names)


def test_a_package_below_the_root_is_in_the_roots_tree(suites: Suites, tmp_path: Path) -> None:
    project(
        tmp_path, '[tool.pytest-manylinux]\ntest-command = "pytest {project}/t {package}/t"', "t/a.py"
    )
    inner = project(tmp_path / "packages" / "one", "", "t/b.py")
    found = suites.of(job(inner, settings_of(tmp_path, kind=SourceKind.PYPROJECT)), TARGET)
    assert found is not None
    assert found.settings.package == "packages/one"
    assert found.tree is not None
    with tarfile.open(found.tree) as archive:
        assert {"project/t/a.py", "project/packages/one/t/b.py"} <= set(archive.getnames())


def test_a_given_wheel_has_the_tests_of_the_folder(suites: Suites, tmp_path: Path) -> None:
    project(tmp_path, '[tool.pytest-manylinux]\ntest-command = "pytest {project}/t"', "t/a.py")
    origin = WheelSubject(path=tmp_path / "dist" / "a.whl", settings=settings_of(tmp_path), group="a")
    found = suites.of(origin, TARGET)
    assert found is not None
    assert found.tree is not None


def test_a_wheel_without_a_project_has_no_tree(suites: Suites, tmp_path: Path) -> None:
    settings = replace(settings_of(tmp_path), test_command=("pytest {project}",))
    with pytest.raises(UsageError, match="neither pyproject"):
        suites.of(WheelSubject(path=tmp_path / "a.whl", settings=settings, group="a"), TARGET)


@pytest.mark.parametrize("pattern", ["debian-12-*", "debian-12", "cp311-*", "{cp39,cp311}-*_x86_64"])
def test_tests_are_left_out_by_target_and_identifier(
    suites: Suites, tmp_path: Path, pattern: str
) -> None:
    text = f'[tool.pytest-manylinux]\ntest-command = "true"\ntest-skip = ["x", "{pattern}"]'
    assert suite(suites, tmp_path, text).settings.skip.startswith("test-skip has")


def test_groups_of_requirements(suites: Suites, tmp_path: Path) -> None:
    text = """
[dependency-groups]
Base_One = ["a>1"]
test = [{include-group = "base-one"}, "b"]
[tool.pytest-manylinux]
test-command = "true"
test-requires = "c d"
test-groups = "test"
"""
    assert suite(suites, tmp_path, text).settings.requires == ("c", "d", "a>1", "b")


DEEP = {f"test{n}": [{"include-group": f"test{n + 1}"}] for n in range(2000)}


@pytest.mark.parametrize(
    "groups",
    [
        {},
        {"test": "x"},
        {"test": [{"include-group": "test"}]},
        {"test": [{"other": 1}]},
        {"test": ["-r x.txt"]},
        {"test": ["--index-url=https://example.org"]},
        {"test": [{"include-group": "test0"}], **DEEP},
        "table of tests",
    ],
)
def test_groups_that_cannot_be_used(groups: object) -> None:
    with pytest.raises(UsageError, match=r"test|groups is no table"):
        grouped({"dependency-groups": groups}, ["test"], "demo")


def test_groups_that_include_each_other_twice_are_taken_once() -> None:
    groups: dict[str, object] = {f"g{n}": [{"include-group": f"g{n + 1}"}] * 2 for n in range(40)}
    assert grouped({"dependency-groups": groups | {"g40": ["a"]}}, ["g0", "g1"], "demo") == ("a",)


def test_what_does_not_fit_the_project_is_why_its_tests_are_not_run(
    suites: Suites, tmp_path: Path
) -> None:
    text = '[tool.pytest-manylinux]\ntest-command = ["a", "b"]\ntest-groups = "nosuch"'
    found = suites.wanted(job(project(tmp_path, text)), TARGET)
    assert found is not None
    assert not found.can_run
    assert found.shown == "a && b"
    assert found.settings.lacking == (
        f"{tmp_path.name}: the dependency group 'nosuch' cannot be used: there are none"
    )


def test_sources_must_be_there(suites: Suites, tmp_path: Path) -> None:
    text = '[tool.pytest-manylinux]\ntest-command = "pytest"\ntest-sources = ["tests", "x"]'
    with pytest.raises(UsageError, match="'x', which is not in the project"):
        suite(suites, tmp_path, text, "tests/test_a.py")


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("test-requires", "-r x.txt", "not a requirement"),
        ("test-sources", ["../x"], "not inside"),
        ("test-sources", ["/x"], "not inside"),
        ("test-environment", "A", "no value"),
        ("test-environment", {"a b": "1"}, "name of a variable"),
        ("test-environment", {"a": ["1"]}, "not a string"),
        ("test-skip", "'", "cannot be read"),
        ("test-network", "some", "use none, host"),
        ("expect", [{"test": "x", "finding": "crash", "reason": "y"}], "single test"),
        ("gate", {"require-tests": 1}, "true or false"),
    ],
)
def test_wrong_values_are_told(name: str, raw: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {name: raw})])


CIBUILDWHEEL = {
    "tool": {
        "cibuildwheel": {
            "test-command": "pytest {project}/tests",
            "test-requires": "pytest",
            "environment": {"A": "1"},
            "test-environment": "B=2",
            "linux": {"before-test": "true"},
            "overrides": [
                {
                    "select": "cp31{1,2}-*",
                    "test-requires": ["x"],
                    "inherit": {"test-requires": "append"},
                },
                {"select": "pp*", "test-command": "true"},
            ],
        }
    }
}


def test_cibuildwheels_table_its_linux_and_its_overrides() -> None:
    found = suite_values(CIBUILDWHEEL, "cp311-manylinux_x86_64", where="x")
    assert found == {
        "test-command": "pytest {project}/tests",
        "test-requires": ["pytest", "x"],
        "test-environment": ["A=1", "B=2"],
        "before-test": "true",
    }
    assert suite_values(CIBUILDWHEEL, "pp311-manylinux_x86_64", where="x")["test-command"] == "true"


@pytest.mark.parametrize("key", ["test-command", "before-test"])
@pytest.mark.parametrize(
    ("way", "after", "whole"),
    [
        ("append", "b", ["a", "b"]),
        ("prepend", "b", ["b", "a"]),
        ("append", ["b", "c"], ["a", "b", "c"]),
        ("none", "b", "b"),
    ],
)
def test_a_command_that_an_override_adds_is_one_of_its_own(
    key: str, way: str, after: object, whole: object
) -> None:
    override = {"select": "*", key: after, "inherit": {key: way}}
    table = {"test-command": "a", "before-test": "a", "overrides": [override]}
    document = {"tool": {"cibuildwheel": table}}
    assert suite_values(document, "cp311-manylinux_x86_64", where="x")[key] == whole


def test_cibuildwheels_settings_are_taken_and_ours_win(suites: Suites, tmp_path: Path) -> None:
    text = """
[tool.cibuildwheel]
test-command = ["a", "b"]
test-requires = "pytest"
test-extras = "x,y"
[tool.pytest-manylinux]
test-command = "cibuildwheel"
test-requires = ["hypothesis"]
"""
    found = suite(suites, tmp_path, text)
    assert found.settings.command == ("a", "b")
    assert (found.settings.requires, found.settings.extras) == (("hypothesis",), ("x", "y"))


def test_cibuildwheel_without_a_command_is_told(suites: Suites, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has none for cp311-manylinux_x86_64"):
        suite(suites, tmp_path, '[tool.pytest-manylinux]\ntest-command = "cibuildwheel"')


def test_identifiers_are_cibuildwheels() -> None:
    assert identifier(TARGET) == "cp311-manylinux_x86_64"


@pytest.mark.parametrize(
    "pattern",
    ["debian-11-*", "debian-12", "*-cp313t-*", "debian-12+cp315*", "cp39-*", "*_i686", "pp*", "*-win*"],
)
def test_a_pattern_of_skipped_tests_stands_for_something(pattern: str) -> None:
    settings = merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {"test-skip": pattern})])
    check_skipped(settings, load_catalogue().distros)


@pytest.mark.parametrize("pattern", ["debian11-*", "cp39", "bookworm*", "cp3.9-*", "debian-12-3.11"])
def test_a_pattern_of_skipped_tests_that_no_target_matches_is_refused(pattern: str) -> None:
    settings = merge(
        [Layer(SourceKind.PYPROJECT, "pyproject.toml", {"test-skip": f"cp39-* {pattern}"})]
    )
    with pytest.raises(UsageError, match=re.escape(f"{pattern!r} matches no target")):
        check_skipped(settings, load_catalogue().distros)
