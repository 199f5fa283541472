"""A project's own tests: the scripts that are run, and what their ends amount to."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.engines.api import Completed, Status
from pytest_manylinux.model.observation import CaseStatus, SuiteOutcome, how_it_ended, last_lines
from pytest_manylinux.trials.inside import run_suite, suite_results
from pytest_manylinux.trials.inside.run_suite import WEIGHT, SuiteRun, read_results
from pytest_manylinux.trials.protocol import Answers, read_answers
from pytest_manylinux.trials.suite import (
    REQUIRED,
    SuiteRequest,
    SuiteSettings,
    filled,
    speaks_of_tree,
    suite_outcome,
)

START = {"kind": "start", "python": "3.11.2", "libc": "glibc 2.36"}
DONE = Completed(
    status=Status.EXITED,
    exit_code=0,
    signal=None,
    stdout=b"",
    stderr=b"",
    truncated=False,
    duration=1.0,
)


def told(**words: Any) -> Answers:  # noqa: ANN401
    ending = {"exit_code": 0, "signal": None, "overdue": False, "output": "", "duration": 0.5}
    ending |= {key: words.pop(key) for key in list(words) if key in ending}
    line = {"step": "", "ending": ending, "sessions": 1, "ended": 1, "counts": {}, "cases": []} | words
    lines = [START, {"kind": "suite-begin"}, {"kind": "suite", **line}]
    text = "".join(f"{'a' * 32} {n} {json.dumps(line)}\n" for n, line in enumerate(lines))
    return read_answers(text.encode())


def outcome(**words: Any) -> SuiteOutcome:  # noqa: ANN401
    command = words.pop("command", "make check")
    found = suite_outcome(told(**words), DONE, command)
    assert found is not None
    return found


# pytest writes the error to standard error, which comes before what it has printed meanwhile.
NO_FOLDER = "ERROR: file or directory not found: tests\n\n=== session ===\ncollected 0 items\n"
NO_OPTION = (
    "ERROR: usage: pytest [options]\npytest: error: unrecognized arguments: --oh\n  inifile: x\n"
)
PASSED = {"counts": {"passed": 2}, "cases": [["a.py::x", "passed", 0.1, ""]]}


@pytest.mark.parametrize(
    ("words", "passed", "not_run"),
    [
        (PASSED, True, ""),
        (PASSED | {"exit_code": 1}, False, ""),
        (PASSED | {"ended": 0}, False, ""),
        (PASSED | {"overdue": True, "exit_code": None, "signal": 6}, False, ""),
        ({"counts": {"failed": 1}, "cases": [["a.py::x", "failed", 0.1, "E no"]]}, False, ""),
        ({"counts": {"skipped": 3}}, False, "every test was skipped"),
        ({"counts": {"skipped": 3, "xfailed": 1}}, True, ""),
        ({}, False, "pytest found no test"),
        ({"exit_code": 5}, False, "pytest found no test"),
        ({"exit_code": 4, "output": "ERROR: no\n"}, False, "pytest refused its command line: no"),
        ({"exit_code": 4, "output": NO_FOLDER}, False, "line: file or directory not found: tests"),
        ({"exit_code": 4, "output": NO_OPTION}, False, "line: unrecognized arguments: --oh"),
        ({"sessions": 0, "ended": 0}, True, ""),
        ({"sessions": 0, "ended": 0, "exit_code": 3}, False, ""),
        ({"sessions": 0, "ended": 0, "exit_code": 127, "output": "sh: x: not found\n"}, False, "sh: x"),
        (
            {"sessions": 0, "ended": 0, "output": "\nRan 0 tests in 0.000s\n\nOK\n"},
            False,
            "ran no test",
        ),
        ({"sessions": 0, "ended": 0, "output": "\nRan 3 tests in 0.100s\n\nOK\n"}, True, ""),
        ({"step": "before", "exit_code": 2, "output": "no\n"}, False, "before-test failed"),
        ({"step": "install", "exit_code": 1, "output": "ERROR: x\n"}, False, "was not installed"),
    ],
)
def test_what_an_end_amounts_to(
    words: dict[str, Any],
    passed: bool,  # noqa: FBT001
    not_run: str,
) -> None:
    found = outcome(**words)
    assert found.passed is passed
    assert (not_run in found.not_run) if not_run else not found.not_run


@given(code=st.integers(1, 255), counts=st.dictionaries(st.sampled_from(WEIGHT), st.integers(0, 9)))
def test_nothing_that_tests_tell_makes_a_pass_of_a_failing_command(
    code: int, counts: dict[str, int]
) -> None:
    assert not outcome(exit_code=code, counts=counts, sessions=2, ended=2).passed


@pytest.mark.parametrize(
    "command",
    [
        "pytest --version",
        "py.test -h",
        "python -m pytest --markers",
        "python3.11 -I -m pytest --help",
        "cd sub &&\n/scratch/env/bin/pytest --version; true",
        "A=1 B= pytest --fixtures",
    ],
)
def test_a_pytest_that_begins_no_session_ran_no_test(command: str) -> None:
    found = outcome(sessions=0, ended=0, output="pytest 8.0.0\n", command=command)
    assert not found.passed
    assert found.not_run == "the command ran no test: pytest 8.0.0"


@pytest.mark.parametrize(
    "command",
    [
        "tox -e pytest",
        "make pytest",
        "./run-pytest.sh",
        "python pytest_all.py",
        "PYTEST_ADDOPTS=-q pytest tests",
        "python -c 'import x' # pytest",
    ],
)
def test_other_commands_decide_by_their_exit_code(command: str) -> None:
    assert outcome(sessions=0, ended=0, command=command).passed


def test_unittest_tells_numbers_and_names() -> None:
    line = "=" * 70
    output = f".F.E\n{line}\nFAIL: test_a (t.T)\n---\nno\n\n{line}\nERROR: test_b (t.T)\n"
    output += "\nRan 4 tests in 0.1s\n"
    found = outcome(sessions=0, ended=0, exit_code=1, output=output)
    assert [(case.name, case.status) for case in found.failing] == [
        ("test_a (t.T)", CaseStatus.FAILED),
        ("test_b (t.T)", CaseStatus.ERROR),
    ]
    assert (found.ran, dict(found.counts)) == (4, {"passed": 2, "failed": 1, "error": 1})


def test_tests_that_end_the_trial_itself_have_not_passed() -> None:
    lines = [START, {"kind": "suite-begin"}]
    text = "".join(f"{'a' * 32} {n} {json.dumps(line)}\n" for n, line in enumerate(lines))
    found = suite_outcome(read_answers(text.encode()), DONE, "pytest")
    assert found is not None
    assert not found.passed
    assert not found.complete


def test_tests_that_were_not_reached_have_no_outcome() -> None:
    assert suite_outcome(Answers(), DONE, "pytest") is None


def asked(**settings: Any) -> SuiteRequest:  # noqa: ANN401
    return SuiteRequest(settings=SuiteSettings(**settings))


def run_script(request: SuiteRequest, folder: Path) -> str:
    script = request.steps((), "/w/x.whl").script
    script = script.replace(run_suite.WORKING, str(folder))
    return subprocess.run(["/bin/sh", "-c", script], check=False, capture_output=True, text=True).stdout


def test_the_commands_are_one_after_the_other_in_the_working_folder(tmp_path: Path) -> None:
    request = asked(command=("cd sub  # there", "pwd", "false", "echo never"))
    (tmp_path / "sub").mkdir()
    assert run_script(request, tmp_path) == f"{tmp_path}/sub\n"


@pytest.mark.parametrize("value", ['a "b" c', "a\\b", "it's", "$(echo no) $HOME", "a\nb"])
def test_values_of_variables_come_as_the_shell_expands_them(tmp_path: Path, value: str) -> None:
    request = asked(command=('printf %s "$X"',), environment=(("X", value),))
    expanded = value.replace("$(echo no) $HOME", f"no {Path.home()}")
    assert run_script(request, tmp_path) == expanded


def test_placeholders() -> None:
    places = {"project": "/p", "wheel": "/w"}
    assert filled("{project}/x {wheel} {other} #{project} ${HOME}", places) == (
        "/p/x /w {other} #{project} ${HOME}"
    )
    assert speaks_of_tree(["pytest {package}/tests"]) == (False, True)
    assert speaks_of_tree(["pytest {project}/tests", "x {wheel}"]) == (True, False)


def test_own_options_of_pytest_are_kept(tmp_path: Path) -> None:
    request = asked(command=('echo "$PYTEST_ADDOPTS"',), environment=(("PYTEST_ADDOPTS", "-x"),))
    assert run_script(request, tmp_path) == f"-p {suite_results.NAME} -x\n"


def test_requirements_are_installed_with_the_extras_of_the_wheel() -> None:
    request = asked(command=("true",), requires=("pytest>7",), extras=("a", "b"))
    assert request.steps(("install",), "/w/x.whl").pip == (
        *("install", "--find-links", str(REQUIRED)),
        *("/w/x.whl[a,b]", "pytest>7"),
    )
    assert asked(command=("true",)).steps(("install",), "/w/x.whl").pip == ()


def installed(tmp_path: Path) -> SuiteRun:
    (tmp_path / "site" / "demo").mkdir(parents=True)
    (tmp_path / "site" / "demo" / "__init__.py").touch()
    (tmp_path / "site" / "demo" / "demo.h").touch()
    (tmp_path / "site" / "tests").mkdir()
    (tmp_path / "site" / "tests" / "__init__.py").touch()
    return SuiteRun({}, [str(tmp_path / "site")], "python", None)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("demo/__init__.py", True),
        ("src/demo/__init__.py", True),
        ("demo/tests/__init__.py", False),
        ("tests/__init__.py", False),
        ("demo/other.py", False),
        ("src/demo/demo.h", False),
        ("examples/demo/__init__.py", False),
        ("demo", False),
    ],
)
def test_what_is_installed_is_not_in_the_tree(
    tmp_path: Path,
    name: str,
    left_out: bool,  # noqa: FBT001
) -> None:
    assert installed(tmp_path).is_installed(name) is left_out


def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *lines: object) -> dict[str, Any]:
    file = tmp_path / "results"
    file.write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    )
    monkeypatch.setattr(run_suite, "RESULTS", str(file))
    return read_results()


def case(name: str, status: str, **words: object) -> dict[str, object]:
    return {"kind": "test", "test": name, "status": status, "seconds": 0.5, "words": ""} | words


def test_the_worst_phase_of_a_test_counts_and_what_did_not_end_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = results(
        monkeypatch,
        tmp_path,
        {"kind": "start"},
        {"kind": "begin", "test": "a"},
        case("a", "passed"),
        case("a", "error", words="E no"),
        {"kind": "begin", "test": "b"},
        "no JSON",
        "[1]",
        case("c", "unheard-of"),
    )
    assert found["counts"] == {"error": 1, "unfinished": 1}
    assert found["cases"] == [["a", "error", 1.0, "E no"], ["b", "unfinished", 0.0, ""]]
    assert (found["sessions"], found["ended"]) == (1, 0)


def test_results_that_are_no_file_are_no_results(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_suite, "RESULTS", str(tmp_path / "nothing"))
    assert read_results()["cases"] == []


def test_of_too_many_tests_those_that_failed_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_suite, "MOST_TOLD", 200)
    lines = [case(f"a{n}", "passed") for n in range(50)]
    found = results(monkeypatch, tmp_path, *lines, case("z", "failed"))
    assert found["cases"][0][0] == "z"
    assert len(found["cases"]) == 3
    assert found["counts"] == {"passed": 50, "failed": 1}


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [
        (1, None, "exit code 1"),
        (139, None, "exit code 139, killed by SIGSEGV"),
        (None, 9, "killed by SIGKILL"),
        (255, None, "exit code 255"),
        (None, None, "no exit code"),
    ],
)
def test_ends_in_words(code: int | None, number: int | None, words: str) -> None:
    assert how_it_ended(code, number) == words


def test_a_proof_keeps_the_failed_and_the_slowest() -> None:
    found = outcome(
        counts={"passed": 20, "failed": 1},
        cases=[["f", "failed", 0.0, "E"], *([f"t{n}", "passed", float(n), ""] for n in range(20))],
    )
    short = found.shortened(2)
    assert [one.name for one in short.cases] == ["f", "t19", "t18"]
    assert short.counts == found.counts
    assert short.shortened(2) == short


def test_the_last_lines_are_those_that_say_something() -> None:
    assert last_lines("a\n\nb\n \nc\n\n", 2) == "b\nc"


PLUGIN = Path(suite_results.__file__)


def test_the_plugin_tells_each_test_as_it_goes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pytester.path / "told"
    text = PLUGIN.read_text().replace(suite_results.RESULTS, str(file))
    pytester.makepyfile(**{suite_results.NAME: text})
    pytester.makepyfile(
        test_it="""
        import os, pytest
        def test_a(): assert "PYTEST_ADDOPTS" not in os.environ
        def test_b(): assert 0, "words"
        @pytest.mark.skip
        def test_c(): pass
        @pytest.mark.xfail
        def test_d(): assert 0
        @pytest.mark.xfail
        def test_e(): pass
        @pytest.fixture
        def broken(): raise ValueError
        def test_f(broken): pass
        """
    )
    monkeypatch.setenv("PYTEST_ADDOPTS", f"-p {suite_results.NAME}")
    pytester.syspathinsert()
    pytester.runpytest_subprocess("-p", suite_results.NAME)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert (lines[0]["kind"], lines[-1]["kind"], lines[-1]["code"]) == ("start", "end", 1)
    found = {line["test"][-6:]: line["status"] for line in lines if line["kind"] == "test"}
    assert found == {
        "test_a": "passed",
        "test_b": "failed",
        "test_c": "skipped",
        "test_d": "xfailed",
        "test_e": "xpassed",
        "test_f": "error",
    }
    assert "words" in next(line for line in lines if line.get("status") == "failed")["words"]


def test_the_plugin_tells_a_test_that_ended_the_interpreter(pytester: pytest.Pytester) -> None:
    file = pytester.path / "told"
    text = PLUGIN.read_text().replace(suite_results.RESULTS, str(file))
    pytester.makepyfile(**{suite_results.NAME: text})
    pytester.makepyfile(test_it="import os\ndef test_a(): os._exit(0)")
    pytester.syspathinsert()
    assert pytester.runpytest_subprocess("-p", suite_results.NAME).ret == 0
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == ["start", "begin"]
