"""Plugins that a project names for its tests, beside a run without tests.

For pytest-cov and pytest-timeout stand plugins with the option, the hook and the order of theirs.
"""

from __future__ import annotations

import pytest
from collecting import FOUR, make_project
from wheels import build_wheel

from pytest_manylinux.errors import ExitCode

# As pytest-cov 7: what it measures is an option, at which it looks while conftest.py files are loaded.
COVERAGE = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--cov", action="append", default=[], dest="cov_source", nargs="?", const=True)

class Measures:
    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.write_line("measured")

@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config):
    if early_config.known_args_namespace.cov_source:
        early_config.pluginmanager.register(Measures(), "_cov")
"""
# As pytest-timeout 2.4: the first plugin that answers its hook has set the timer.
TIMEOUT = """
import pytest

class Hooks:
    @pytest.hookspec(firstresult=True)
    def pytest_timeout_set_timer(self, item, settings): ...

def pytest_addhooks(pluginmanager):
    pluginmanager.add_hookspecs(Hooks)

@pytest.hookimpl(trylast=True)
def pytest_timeout_set_timer(item, settings):
    pytest.fail(f"Timeout of {item.name}")

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    item.ihook.pytest_timeout_set_timer(item=item, settings=1)
    return (yield)
"""
NOTE = "manylinux note: pytest-cov measures nothing: no tests run here without --manylinux-with-tests"


def with_plugin(pytester: pytest.Pytester, source: str, addopts: str = "") -> None:
    pytester.makepyfile(stand_in=source)
    pytester.syspathinsert()
    pytester.makeini(f"[pytest]\naddopts = -p stand_in {addopts}")


def test_coverage_that_addopts_ask_for_does_not_fail_a_run_without_tests(
    pytester: pytest.Pytester,
) -> None:
    with_plugin(pytester, COVERAGE, "--cov=sample --strict-markers")
    make_project(pytester.path)
    result = pytester.runpytest_subprocess("--manylinux", "--collect-only", FOUR)
    result.stdout.fnmatch_lines([NOTE])
    assert "measured" not in result.outlines
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize("arguments", [(), ("--manylinux", "--manylinux-with-tests", FOUR, ".")])
def test_where_tests_run_coverage_is_measured(
    pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    with_plugin(pytester, COVERAGE, "--cov")
    pytester.makepyfile(test_one="def test_one(): pass")
    result = pytester.runpytest_subprocess(*arguments, "--collect-only")
    assert NOTE not in result.outlines
    assert "measured" in result.outlines


def test_a_limit_for_tests_ends_no_item_of_ours_but_tests(pytester: pytest.Pytester) -> None:
    with_plugin(pytester, TIMEOUT)
    build_wheel(pytester.path, name="sample", version="1.0", files={"sample.py": b""})
    pytester.makepyfile(test_one="def test_one(): pass")
    result = pytester.runpytest_subprocess(
        "--manylinux", "--manylinux-with-tests", FOUR, "-k", "audit or test_one", "."
    )
    result.assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize(
    ("addopts", "words", "plugin"),
    [
        ("--cov=sample --cov-report=xml -q", "--cov=sample, --cov-report=xml", "pytest-cov"),
        ("--reruns=2 --cov", "--reruns=2, --cov", "pytest-cov and pytest-rerunfailures"),
        ("--frobnicate", "--frobnicate", "the plugins that they are for"),
    ],
)
def test_addopts_for_a_plugin_that_is_not_there_are_told_as_such(
    pytester: pytest.Pytester, addopts: str, words: str, plugin: str
) -> None:
    pytester.makeini(f"[pytest]\naddopts = -p no:pytest_cov -p no:rerunfailures {addopts}")
    make_project(pytester.path)
    result = pytester.runpytest_subprocess("--manylinux", "--collect-only", FOUR)
    result.stderr.fnmatch_lines(
        [
            f"ERROR: pytest does not know {words}",
            "  why: the project's addopts add that for a plugin which is not installed here",
            f"  next: install {plugin} beside pytest-manylinux, or leave them out: *-o addopts=`",
        ]
    )
    assert result.ret == ExitCode.USAGE
    advice = pytester.runpytest_subprocess("--manylinux", "-o", "addopts=", "--collect-only", FOUR)
    assert advice.ret == pytest.ExitCode.OK
