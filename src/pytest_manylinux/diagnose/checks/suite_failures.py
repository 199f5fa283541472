"""What came of the project's own tests."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import (
    CaseResult,
    CaseStatus,
    Observation,
    SuiteOutcome,
    how_it_ended,
    last_lines,
)
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML320: the project's own tests fail.

_NAMED = 3  # tests in the message
_SHOWN = 10  # tests in the evidence
_LINES = 4  # of a test's own words


def _tests_failed(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    suite = observation.tests
    if suite is None or suite.skipped or suite.not_run or suite.passed:
        return
    yield TESTS_FAILED.finding(_message(suite), evidence=list(_evidence(suite)))


def _message(suite: SuiteOutcome) -> str:
    running = [case.name for case in suite.failing if case.status is CaseStatus.UNFINISHED]
    during = f" while {running[-1]} ran" if running else ""
    failing = [case.name for case in suite.failing if case.name not in running]
    if suite.overdue:
        return f"the tests did not end within {suite.duration:.0f} s{during}"
    if not suite.complete:
        return f"the tests broke off{during} ({how_it_ended(suite.exit_code, suite.signal)})"
    if failing:
        more = f" and {len(failing) - _NAMED} more" if len(failing) > _NAMED else ""
        return f"{len(failing)} of {suite.ran} tests failed: {', '.join(failing[:_NAMED])}{more}"
    return f"the tests failed: {how_it_ended(suite.exit_code, suite.signal)}"


def _evidence(suite: SuiteOutcome) -> Iterator[str]:
    for case in suite.failing[:_SHOWN]:
        yield f"{case.name}: {case.status.value}"
        yield from (f"  {line}" for line in _said(case))
    if len(suite.failing) > _SHOWN:
        yield f"… {len(suite.failing) - _SHOWN} more tests"
    if not any(case.words for case in suite.failing):
        yield from (f"it said: {line}" for line in last_lines(suite.output).splitlines())


def _said(case: CaseResult) -> list[str]:
    """The last lines of a test's words: what pytest marks with E, if it did."""
    lines = [line.rstrip() for line in case.words.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith("E ")]
    return (marked or lines)[-_LINES:]


TESTS_FAILED = Check(code="ML320", name="tests-failed", severity=Severity.ERROR, dynamic=_tests_failed)


# ML321: the project's own tests were to be run, and none was: the trial proves nothing.

_NOT_FOUND = (126, 127)  # a shell's exit codes for what it cannot start
_NOTHING_FOUND = ("pytest found", "pytest refused", "the command ran no test")  # by trials/suite.py


def _tests_not_run(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    suite = observation.tests
    if suite is not None and suite.not_run:
        yield TESTS_NOT_RUN.finding(
            f"no test ran: {suite.not_run}",
            evidence=[f"it said: {line}" for line in last_lines(suite.output).splitlines()],
            remedy=_remedy(suite),
        )


def _remedy(suite: SuiteOutcome) -> str:
    """What to do; empty for the check's first remedy, which is about where the tests are."""
    if suite.exit_code not in _NOT_FOUND and suite.not_run.startswith(_NOTHING_FOUND):
        return ""
    return next(
        one.words
        for one in TESTS_NOT_RUN.text.remedies
        if one.words.startswith("what the command needs")
    )


TESTS_NOT_RUN = Check(
    code="ML321",
    name="tests-not-run",
    severity=Severity.WARNING,  # the verdict is not-proven: nothing is known against the wheel
    dynamic=_tests_not_run,
)
