"""A newcomer's slips: unknown flags, habits from cibuildwheel, folders without anything to try."""

from __future__ import annotations

import pytest
from collecting import FOUR, WHEEL, ids, make_project, make_wheel

from pytest_manylinux.errors import ExitCode

CIBUILDWHEEL = '\n[tool.cibuildwheel.linux]\ntest-command = "pytest {project}/tests"\n'


@pytest.fixture(autouse=True)
def no_habits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own variables are nobody's slip here."""
    for name in ("CIBW_BUILD", "CIBW_SKIP", "CIBW_TEST_COMMAND"):
        monkeypatch.delenv(name, raising=False)


def header(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    result = pytester.runpytest("--manylinux", "--collect-only", FOUR, *arguments)
    return [line for line in result.outlines if line.startswith("manylinux note: ")]


@pytest.mark.parametrize(
    ("flag", "remedy"),
    [
        ("--manylinux-distro=debian-12", "perhaps you meant --manylinux-distros"),
        ("--manylinux-pythons", "perhaps you meant --manylinux-python"),
        ("--manylinux-xyzzy", "`pytest --help` lists them all"),
        ("--policy=manylinux1", "perhaps you meant --manylinux-policy"),
        ("--output-dir=out", "an option of cibuildwheel; here it is --manylinux-wheelhouse=DIR"),
        ("--print-build-identifiers", "an option of cibuildwheel; here it is --collect-only -q"),
    ],
)
def test_an_unknown_flag_is_told_with_what_may_be_meant(
    pytester: pytest.Pytester, flag: str, remedy: str
) -> None:
    result = pytester.runpytest_subprocess("--manylinux", flag)
    result.stderr.fnmatch_lines(
        [f"ERROR: there is no option {flag.partition('=')[0]}", f"  next: *{remedy}"]
    )
    assert result.ret == ExitCode.USAGE


def test_what_pytest_alone_can_say_of_a_flag_is_left_to_it(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--manylinux", "--nothing-like-ours")
    result.stderr.fnmatch_lines(["*unrecognized arguments: --nothing-like-ours"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_flag_of_the_projects_own_conftest_is_known(pytester: pytest.Pytester) -> None:
    make_project(pytester.path)
    pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--archs')")
    assert pytester.runpytest("--manylinux", "--co", "-q", FOUR, "--archs=x").ret == pytest.ExitCode.OK


def test_variables_of_cibuildwheel_are_said_not_to_be_read(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(pytester.path)
    assert header(pytester) == []
    monkeypatch.setenv("CIBW_BUILD", "cp311-*")
    monkeypatch.setenv("CIBW_ENVIRONMENT_PASS_LINUX", "X")
    (line,) = header(pytester)
    assert line.startswith(
        "manylinux note: CIBW_BUILD, CIBW_ENVIRONMENT_PASS_LINUX: cibuildwheel's, not read"
    )
    assert line.endswith("; PYTEST_MANYLINUX_BUILD would be")


def test_tests_that_only_cibuildwheel_runs_are_said_not_to_be_run(pytester: pytest.Pytester) -> None:
    make_project(pytester.path, CIBUILDWHEEL)
    (line,) = header(pytester)
    assert line.startswith("manylinux note: the test-command of [tool.cibuildwheel] is not run: ")
    assert header(pytester, "--manylinux-test-command=cibuildwheel") == []


def test_a_folder_without_anything_to_try_is_said_to_be_one(pytester: pytest.Pytester) -> None:
    make_project(pytester.path)
    pytester.mkdir("tests").joinpath("test_it.py").write_text("def test_it(): pass")
    result = pytester.runpytest("--manylinux", FOUR, "tests")
    result.stdout.fnmatch_lines(["manylinux: nothing to try: * no wheel, sdist or project in tests;*"])
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_items_that_were_deselected_are_not_said_to_be_lacking(pytester: pytest.Pytester) -> None:
    make_wheel(pytester.path / "dist")
    result = pytester.runpytest("--manylinux", FOUR, "dist", "-k", "nothing-of-the-kind")
    assert "nothing to try" not in result.stdout.str()


def test_what_runs_in_a_project_have_built_is_not_tried_from_elsewhere(
    pytester: pytest.Pytester,
) -> None:
    """Wheels of a project's own wheelhouse, as `pytest --manylinux` there would leave them out."""
    project = make_project(pytester.path / "projects/one")
    make_wheel(project / "wheelhouse")
    make_wheel(pytester.path / "projects/wheelhouse")
    found = ids(pytester.runpytest("--manylinux", "--co", "-q", FOUR, "projects"))
    assert not [line for line in found if line.startswith("projects/one/wheelhouse")]
    assert f"projects/wheelhouse/{WHEEL}::audit" in found
    named = ids(pytester.runpytest("--manylinux", "--co", "-q", FOUR, "projects/one/wheelhouse"))
    assert f"projects/one/wheelhouse/{WHEEL}::audit" in named


@pytest.mark.parametrize(("path", "why"), [("dist/*.whl", "no file matches it"), ("dist", "")])
def test_a_path_that_is_not_there_is_told_with_what_makes_wheels(
    pytester: pytest.Pytester, path: str, why: str
) -> None:
    make_project(pytester.path)
    result = pytester.runpytest_subprocess("--manylinux", FOUR, path)
    words = result.stderr.lines
    assert words[0] == f"ERROR: {path} is not there"
    assert [line for line in words if "why: " in line] == ([f"  why: {why}"] if why else [])
    assert any(line.startswith("  next: `pytest --manylinux` builds the project") for line in words)
    assert result.ret == ExitCode.USAGE
