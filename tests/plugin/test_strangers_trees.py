"""Trees of others as paths: what of them pytest loads, and which links are followed."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from collecting import FOUR, WHEEL, ids, make_project, make_wheel

CODE = "with open({mark!r}, 'a') as mark: mark.write(__name__ + '\\n')\n"
LOADED = (  # every file that pytest imports of its own accord, in one way or another
    "conftest.py",
    "__init__.py",
    "test_one.py",
    "sub/conftest.py",
    "sub/__init__.py",
    "sub/test_two.py",
    "tests/conftest.py",
    "testing/conftest.py",
    "pkg/__init__.py",
    "pkg/module.py",
    "pkg/tests/__init__.py",
    "pkg/tests/test_three.py",
)
WITH_TESTS = "--manylinux-with-tests"


@pytest.fixture
def mark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mark") / "loaded"


@pytest.fixture
def stranger(tmp_path_factory: pytest.TempPathFactory, mark: Path) -> Path:
    """A tree far from the current folder: each Python file leaves a mark when it is imported."""
    tree = tmp_path_factory.mktemp("far") / "stranger"
    for name in LOADED:
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CODE.format(mark=os.fspath(mark)) + "def test_it(): pass\n")
    (tree / "README.txt").write_text(f">>> {CODE.format(mark=os.fspath(mark)).rstrip()}\n")
    make_project(tree / "project")
    shutil.copy(tree / "conftest.py", tree / "project" / "conftest.py")
    shutil.copy(tree / "conftest.py", tree / "project" / "test_four.py")
    make_wheel(tree / "wheels")
    shutil.copy(tree / "conftest.py", tree / "wheels" / "conftest.py")
    return tree


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    return pytester.runpytest("--manylinux", FOUR, "-p", "no:cacheprovider", *arguments)


RUNS = {
    "collect": ("--collect-only",),
    "run": ("-k", "nothing-at-all"),
    "doctest": ("--collect-only", "--doctest-modules", "--doctest-glob=*.txt"),
    "importlib": ("--collect-only", "--import-mode=importlib"),
    "any file": ("--collect-only", "-o", "python_files=*.py"),
    "xdist": ("--collect-only", "-n1"),
}
PLACES = ("", "project", "wheels", "sub", "pkg/tests", f"wheels/{WHEEL}")


@pytest.mark.attack("stranger's tree", by="place")
@pytest.mark.parametrize(
    ("place", "how"), [*((place, "collect") for place in PLACES), ("", "run"), ("project", "run")]
)
def test_nothing_of_a_path_is_imported(
    pytester: pytest.Pytester, stranger: Path, mark: Path, place: str, how: str
) -> None:
    run(pytester, *RUNS[how], stranger / place)
    assert not mark.exists(), mark.read_text()


@pytest.mark.attack("stranger's tree", by="how")
@pytest.mark.parametrize("how", ["doctest", "importlib", "any file", "xdist"])
def test_nothing_of_a_path_is_imported_however_pytest_looks(
    pytester: pytest.Pytester, stranger: Path, mark: Path, how: str
) -> None:
    run(pytester, *RUNS[how], stranger)
    assert not mark.exists(), mark.read_text()


@pytest.mark.attack("stranger's tree")
def test_nothing_of_it_is_imported_where_an_item_runs(
    pytester: pytest.Pytester, stranger: Path, mark: Path
) -> None:
    shutil.copy(stranger / "sub" / "__init__.py", stranger / "wheels" / "__init__.py")
    result = run(pytester, "-k", "audit", stranger / "wheels")  # whose audit wants no root
    assert "audit" in result.stdout.str()
    assert not mark.exists(), mark.read_text()


@pytest.mark.attack("stranger's tree")
@pytest.mark.parametrize("where", [".", "..", "sub"])
def test_a_path_is_a_stranger_s_also_where_one_stands(
    pytester: pytest.Pytester, stranger: Path, mark: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stranger / "sub" if where == ".." else stranger)
    run(pytester, "--collect-only", where)
    shown = mark.read_text().splitlines() if mark.exists() else []
    # with `sub` as the path, the current folder is the caller's own; it is a package here
    assert shown == (["stranger", "stranger.conftest"] if where == "sub" else [])


@pytest.mark.parametrize(
    "options",
    [
        ("--collect-only",),
        (
            "-k",
            "test_it",
        ),
    ],
    ids=["collect", "run"],
)
def test_the_flag_brings_tests_back(
    pytester: pytest.Pytester, stranger: Path, mark: Path, options: tuple[str, ...]
) -> None:
    result = run(pytester, WITH_TESTS, "--import-mode=importlib", *options, stranger)
    assert "test_four" in result.stdout.str()
    assert mark.exists()


def test_bare_in_one_s_own_project_takes_its_own_conftest(
    pytester: pytest.Pytester, mark: Path
) -> None:
    make_project(pytester.path)
    pytester.makeconftest(CODE.format(mark=os.fspath(mark)))
    result = run(pytester, "--collect-only", "-q")
    assert mark.read_text() == "conftest\n"
    assert any("::build[" in line for line in ids(result))


def test_the_current_folder_s_conftest_is_the_caller_s(pytester: pytest.Pytester, mark: Path) -> None:
    make_wheel(pytester.path / "dist")
    pytester.makeconftest(
        CODE.format(mark=os.fspath(mark))
        + "def pytest_addoption(parser): parser.addoption('--own', action='store')\n"
    )
    result = run(pytester, "--collect-only", "-q", "--own", "dist", "dist")
    assert mark.read_text() == "conftest\n"
    assert ids(result)


@pytest.mark.attack("stranger's tree")
@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("pytest.ini: pytest", ""),
        ("tox.ini: pytest", "wheels"),
        ("setup.cfg: tool:pytest", f"wheels/{WHEEL}"),
        ("pyproject.toml: tool.pytest.ini_options", "project/deeper"),
    ],
)
def test_a_stranger_s_configuration_is_a_usage_error(
    pytester: pytest.Pytester, stranger: Path, mark: Path, where: str, place: str
) -> None:
    file, _, table = where.partition(": ")
    (stranger / "project" / "deeper").mkdir()
    (stranger / file).write_text(f"[{table}]\npython_files = '*.py'\n")
    result = run(pytester, "--collect-only", stranger / place)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*configuration from {stranger / file}*", "*--rootdir=.*"])
    assert not mark.exists()


def test_what_the_message_says_on_configurations_helps(
    pytester: pytest.Pytester, stranger: Path, mark: Path
) -> None:
    (stranger / "pytest.ini").write_text("[pytest]\npython_files = *.py\n")
    wheels = stranger / "wheels"
    assert run(pytester, "-c", os.devnull, "--rootdir=.", "--collect-only", wheels).ret == 0
    assert not mark.exists()
    assert run(pytester, WITH_TESTS, "--import-mode=importlib", "--collect-only", wheels).ret == 0
    assert mark.exists()


def test_one_s_own_configuration_is_taken(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -q")
    make_wheel(pytester.path / "sub" / "dist")
    assert run(pytester, "--collect-only", "sub/dist").ret == pytest.ExitCode.OK


@pytest.mark.attack("stranger's tree")
def test_a_path_s_table_does_not_speak_for_the_run(pytester: pytest.Pytester, stranger: Path) -> None:
    text = '\n[tool.pytest-manylinux]\nengine = "docker"\npolicy = "manylinux2014"\n'
    project = make_project(stranger / "project", text)
    (project / "manylinux-lock.json").write_text("not a lock")
    result = run(pytester, "--collect-only", "--manylinux-python=cp311", project)
    result.stdout.fnmatch_lines(["manylinux policy: auto", "manylinux engine: auto"])
    assert "build[cp311-manylinux2014_x86_64]" in result.stdout.str()  # its own items heed it


@pytest.mark.attack("stranger's tree")
def test_links_that_leave_the_tree_are_not_followed(pytester: pytest.Pytester, stranger: Path) -> None:
    outside = make_wheel(pytester.path / "outside")
    tree = stranger / "links"
    make_wheel(tree / "out")
    (tree / "root").symlink_to("/")
    (tree / "loop").symlink_to(tree)
    (tree / "self").symlink_to("self")
    (tree / "one").mkdir()
    (tree / "two").mkdir()
    (tree / "one" / "other").symlink_to(tree / "two")
    (tree / "two" / "other").symlink_to(tree / "one")
    (tree / "out" / "gone-1.0-py3-none-any.whl").symlink_to(outside)
    (tree / "inner-1.0-py3-none-any.whl").symlink_to(tree / "out" / WHEEL)
    (tree / "project").mkdir()
    (tree / "project" / "pyproject.toml").symlink_to(make_project(outside.parent) / "pyproject.toml")
    result = run(pytester, "--collect-only", "-q", tree)
    assert {name.partition("::")[0].rpartition("/")[2] for name in ids(result)} == {
        WHEEL,
        "inner-1.0-py3-none-any.whl",
    }
    result.stdout.fnmatch_lines(["*not followed: *gone-1.0-py3-none-any.whl -> *"])
    result.stdout.fnmatch_lines(["*root -> /*"])


def test_links_are_not_followed_with_tests_either(pytester: pytest.Pytester, mark: Path) -> None:
    outside = pytester.mkdir("outside")
    (outside / "test_far.py").write_text(CODE.format(mark=os.fspath(mark)))
    tree = pytester.mkdir("tree")
    (tree / "loop").symlink_to(tree)
    (tree / "far").symlink_to(outside)
    (tree / "test_far.py").symlink_to(outside / "test_far.py")
    run(pytester, WITH_TESTS, "--collect-only", tree)
    assert not mark.exists()


def test_a_path_that_is_a_link_is_followed(pytester: pytest.Pytester) -> None:
    make_wheel(pytester.path / "far" / "out")
    (pytester.path / "result").symlink_to(pytester.path / "far")
    assert len(ids(run(pytester, "--collect-only", "-q", "result"))) == 2
    assert len(ids(run(pytester, "--collect-only", "-q", "result/out"))) == 2


MAKE: dict[str, Callable[[Path], object]] = {
    "a named pipe": os.mkfifo,
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere"),
    "a device": lambda path: path.symlink_to(os.devnull),
}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", ["test_it.py", "it-1.0-py3-none-any.whl"])
def test_a_path_of_another_kind_is_a_usage_error(
    pytester: pytest.Pytester, kind: str, name: str
) -> None:
    MAKE[kind](pytester.path / name)
    result = run(pytester, "--collect-only", name)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{name} is {kind}*"])


def test_a_named_test_module_needs_the_flag(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=textwrap.dedent("def test_one(): pass"))
    result = run(pytester, "test_it.py::test_one")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*neither a wheel, an sdist nor a folder*"])
    run(pytester, WITH_TESTS, "test_it.py::test_one").assert_outcomes(passed=1)
