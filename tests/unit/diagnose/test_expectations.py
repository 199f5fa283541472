from __future__ import annotations

from dataclasses import replace

import pytest
from trial_values import make_observation

from pytest_manylinux.diagnose.check_registry import make_finding
from pytest_manylinux.diagnose.judge import apply_expectations
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.observation import CaseResult, CaseStatus, SuiteOutcome
from pytest_manylinux.model.verdict import Cause, Expectation, Outcome, Severity, Verdict


def expect(finding: str, distro: str = "debian-13") -> Expectation:
    return Expectation(distro=distro, finding=finding, reason="known")


def verdict_with(*names: str, severity: Severity | None = None) -> Verdict:
    findings = tuple(make_finding(name, "m", severity=severity) for name in names)
    errors = any(f.severity is Severity.ERROR for f in findings)
    return Verdict(
        outcome=Outcome.NOT_PORTABLE if errors else Outcome.PORTABLE,
        subject="debian-13-cp313-x86_64",
        wheel="demo.whl",
        wheel_sha256="0",
        findings=findings,
    )


@pytest.mark.parametrize("word", ["crash", "ML303"])
def test_the_declared_fault_alone_is_expected(word: str) -> None:
    declared = expect(word)
    verdict = apply_expectations(verdict_with("crash"), [declared], "debian-13")
    assert verdict.outcome is Outcome.EXPECTED
    assert verdict.expectation == declared
    assert verdict.findings  # what happened stays on record


def test_a_declared_fault_that_did_not_happen_is_a_fault() -> None:
    verdict = apply_expectations(verdict_with(), [expect("crash")], "debian-13")
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert [f.name for f in verdict.errors] == ["expectation-not-met"]
    assert "crash" in verdict.reason


def test_a_lighter_finding_of_that_name_is_not_the_fault() -> None:
    light = verdict_with("crash", severity=Severity.WARNING)
    assert apply_expectations(light, [expect("crash")], "debian-13").outcome is Outcome.NOT_PORTABLE


def test_a_fault_that_is_only_ever_a_warning_can_be_declared() -> None:
    warned = verdict_with("system-library-shadowed")
    declared = [expect("system-library-shadowed")]
    verdict = apply_expectations(warned, declared, "debian-13")
    assert verdict.outcome is Outcome.EXPECTED
    assert apply_expectations(verdict_with(), declared, "debian-13").outcome is Outcome.NOT_PORTABLE


def test_another_error_beside_the_expected_one_counts() -> None:
    verdict = apply_expectations(verdict_with("crash", "hang"), [expect("crash")], "debian-13")
    assert verdict.outcome is Outcome.NOT_PORTABLE


def test_two_declared_faults_must_both_happen() -> None:
    both = [expect("crash"), expect("hang", "*")]
    assert apply_expectations(verdict_with("crash", "hang"), both, "debian-13").outcome.passes
    assert not apply_expectations(verdict_with("crash"), both, "debian-13").outcome.passes


def test_other_distros_are_not_spoken_of() -> None:
    verdict = verdict_with("crash")
    assert apply_expectations(verdict, [expect("crash")], "debian-12") == verdict


def test_every_distro_is_no_audit() -> None:
    verdict = verdict_with()
    assert apply_expectations(verdict, [expect("crash", "*")], "audit") == verdict
    named = verdict_with("policy-mismatch")
    declared = [expect("policy-mismatch", "audit")]
    assert apply_expectations(named, declared, "audit").outcome is Outcome.EXPECTED


def test_not_proven_stays_so() -> None:
    verdict = Verdict(
        outcome=Outcome.NOT_PROVEN, subject="s", wheel="w", wheel_sha256="", cause=Cause.IMAGE
    )
    assert apply_expectations(verdict, [expect("crash", "*")], "debian-13") == verdict


def test_a_finding_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="crsh"):
        apply_expectations(verdict_with("crash"), [expect("crsh")], "debian-13")


def suite_with(*failing: str, **fields: object) -> Verdict:
    """A trial whose tests of these names failed."""
    cases = tuple(CaseResult(name=name, status=CaseStatus.FAILED) for name in failing)
    suite = SuiteOutcome(command="pytest", ran=9, cases=cases, exit_code=1 if failing else 0)
    seen = make_observation(tests=replace(suite, **fields))  # type: ignore[arg-type]
    return replace(verdict_with(*["tests-failed"] * bool(failing)), observation=seen)


def single(test: str) -> Expectation:
    return Expectation(distro="*", finding="tests-failed", test=test, reason="known")


A, B = "tests/test_a.py::T::test_a[1]", "tests/test_a.py::test_b"


@pytest.mark.parametrize(
    ("failing", "declared", "outcome"),
    [
        ((A,), (A,), Outcome.EXPECTED),
        ((A,), ("test_a[1]",), Outcome.EXPECTED),
        ((A, B), ("tests/*",), Outcome.EXPECTED),
        ((A, B), (A, "test_b"), Outcome.EXPECTED),
        ((A, B), (A,), Outcome.NOT_PORTABLE),
        ((A,), (A, B), Outcome.NOT_PORTABLE),
        ((), (A,), Outcome.NOT_PORTABLE),
        (("test_a (tests.T)",), ("test_a*",), Outcome.EXPECTED),
        (("tests/test_c.py::xtest_b",), ("test_b",), Outcome.NOT_PORTABLE),
    ],
)
def test_single_tests_are_declared(
    failing: tuple[str, ...], declared: tuple[str, ...], outcome: Outcome
) -> None:
    verdict = apply_expectations(suite_with(*failing), [*map(single, declared)], "debian-13")
    assert verdict.outcome is outcome


@pytest.mark.parametrize("fields", [{"overdue": True}, {"complete": False}, {"exit_code": 3}])
def test_a_suite_that_did_not_end_as_pytest_does_is_not_declared_by_its_tests(
    fields: dict[str, object],
) -> None:
    verdict = apply_expectations(suite_with(A, **fields), [single(A)], "debian-13")
    assert verdict.outcome is Outcome.NOT_PORTABLE


def test_a_test_is_not_missed_where_the_tests_were_left_out() -> None:
    left_out = suite_with(skipped="test-skip has 'debian-13'")
    assert apply_expectations(left_out, [single(A)], "debian-13").outcome is Outcome.PORTABLE
    assert apply_expectations(verdict_with(), [single(A)], "debian-13").outcome is Outcome.PORTABLE


def test_all_tests_are_declared_by_the_finding() -> None:
    verdict = apply_expectations(suite_with(A, B), [expect("tests-failed")], "debian-13")
    assert verdict.outcome is Outcome.EXPECTED
