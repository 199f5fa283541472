"""Faults that the project declares: strict, like pytest's xfail_strict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    A fault has happened if the finding weighs what it usually weighs: a warning is none of
    `missing-library`, but it is one of `system-library-shadowed`.

    `distro_id` is `audit` or `build` for verdicts that belong to no distro.
    """
    declared = tuple(e for e in expectations if _speaks_of(e, distro_id))
    if not declared or verdict.outcome is Outcome.NOT_PROVEN:
        return verdict
    names = {_name(expectation) for expectation in declared}
    seen = {finding.name for finding in verdict.findings if _weighs(finding)}
    absent = tuple(e for e in declared if _name(e) not in seen)
    if absent:
        return _not_met(verdict, absent)
    if FLAKY not in names and {finding.name for finding in verdict.errors} - names:
        return verdict
    first = declared[0]
    return replace(verdict, outcome=Outcome.EXPECTED, reason=first.reason, expectation=first)


def _weighs(finding: Finding) -> bool:
    return WEIGHT[finding.severity] <= WEIGHT[find_check(finding.name).severity]


def _speaks_of(expectation: Expectation, distro_id: str) -> bool:
    anywhere = expectation.distro == "*" and distro_id not in NOT_DISTROS
    return anywhere or expectation.distro == distro_id


def _name(expectation: Expectation) -> str:
    """The finding's name: a declaration may give the code."""
    return find_check(expectation.finding).name


def _not_met(verdict: Verdict, absent: tuple[Expectation, ...]) -> Verdict:
    findings = tuple(
        make_finding(
            "expectation-not-met",
            f"{_name(e)} is declared for {e.distro} and did not happen",
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
