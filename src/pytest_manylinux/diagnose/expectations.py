"""Faults that the project declares: strict, like pytest's xfail_strict."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from pytest_manylinux.diagnose.check_registry import find_check, make_finding
from pytest_manylinux.diagnose.merging import WEIGHT
from pytest_manylinux.model.verdict import FLAKY, Expectation, Finding, Outcome, Severity, Verdict

# Subjects that are no distro: `*` does not speak of them, they are declared by their own word.
NOT_DISTROS = frozenset({"audit", "build"})


def apply_expectations(
    verdict: Verdict, expectations: Sequence[Expectation], distro_id: str
) -> Verdict:
    """Hold a verdict against what the project declares for the distro.

    Every declared fault happened and nothing else is wrong: EXPECTED. A declared fault that did not
    happen: NOT_PORTABLE, with a finding. An error that nobody declared: as it was, unless `flaky` is
    declared and happened, for then chance decides which error is seen. What is not proven stays so.
    A single test has happened if it failed; `tests-failed` as a whole is declared where each test that
    failed is. A fault has happened if the finding weighs what it usually weighs: a warning is none of
    `missing-library`, but it is one of `system-library-shadowed`.

    `distro_id` is `audit` or `build` for verdicts that belong to no distro.
    """
    declared = tuple(
        e for e in expectations if _speaks_of(e, distro_id) and (not e.test or _ran(verdict))
    )
    if not declared or verdict.outcome is Outcome.NOT_PROVEN:
        return verdict
    failing = _failing(verdict)
    whole = [expectation for expectation in declared if not expectation.test]
    names = {_name(expectation) for expectation in whole}
    seen = {finding.name for finding in verdict.findings if _weighs(finding)}
    absent = tuple(e for e in declared if not _happened(e, seen, failing))
    if absent:
        return _not_met(verdict, absent)
    if _all_declared(verdict, declared, failing):
        names.add(OF_TESTS)
    if FLAKY not in names and {finding.name for finding in verdict.errors} - names:
        return verdict
    first = declared[0]
    return replace(verdict, outcome=Outcome.EXPECTED, reason=first.reason, expectation=first)


OF_TESTS = "tests-failed"


def _failing(verdict: Verdict) -> tuple[str, ...]:
    """The tests of the project that failed in a suite that came to its end."""
    suite = None if verdict.observation is None else verdict.observation.tests
    return () if suite is None else tuple(case.name for case in suite.failing)


def _happened(expectation: Expectation, seen: Collection[str], failing: Collection[str]) -> bool:
    if expectation.test:
        return any(is_test(name, expectation.test) for name in failing)
    return _name(expectation) in seen


def _all_declared(verdict: Verdict, declared: Iterable[Expectation], failing: Collection[str]) -> bool:
    """Whether all that is wrong with the suite is that tests fail which are declared, one by one."""
    suite = None if verdict.observation is None else verdict.observation.tests
    if suite is None or not failing or suite.overdue or not suite.complete or suite.exit_code != 1:
        return False
    patterns = [expectation.test for expectation in declared if expectation.test]
    return all(any(is_test(name, pattern) for pattern in patterns) for name in failing)


def is_test(name: str, pattern: str) -> bool:
    """Whether a declaration speaks of a test: by its id, the end of that, or a pattern (fnmatch)."""
    ends = (f"::{pattern}", f".{pattern}", f" ({pattern})")
    return name == pattern or name.endswith(ends) or fnmatchcase(name, pattern)


def _weighs(finding: Finding) -> bool:
    return WEIGHT[finding.severity] <= WEIGHT[find_check(finding.name).severity]


def _speaks_of(expectation: Expectation, distro_id: str) -> bool:
    anywhere = expectation.distro == "*" and distro_id not in NOT_DISTROS
    return anywhere or expectation.distro == distro_id


def _ran(verdict: Verdict) -> bool:
    """Whether tests were run, so that one of them can be missed."""
    suite = None if verdict.observation is None else verdict.observation.tests
    return suite is not None and not suite.skipped


def _name(expectation: Expectation) -> str:
    """The finding's name: a declaration may give the code."""
    return find_check(expectation.finding).name


def _not_met(verdict: Verdict, absent: tuple[Expectation, ...]) -> Verdict:
    findings = tuple(
        make_finding(
            "expectation-not-met",
            f"{e.test or _name(e)} is declared for {e.distro} and did not happen",
            evidence=[f"the reason given: {e.reason}"],
            severity=Severity.ERROR,
        )
        for e in absent
    )
    return replace(
        verdict,
        outcome=Outcome.NOT_PORTABLE,
        findings=(*findings, *verdict.findings),
        reason=verdict.reason or findings[0].message,
    )
