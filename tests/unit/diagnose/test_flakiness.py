"""What disagreeing tries amount to, and how a project may answer for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial_values import imported, make_facts, make_observation, make_target, make_wheel, raised

from pytest_manylinux.config.settings import IgnoreRule
from pytest_manylinux.diagnose.judge import apply_expectations, apply_ignores, hold_against_tries, judge
from pytest_manylinux.model.observation import ImportOutcome
from pytest_manylinux.model.verdict import Cause, Expectation, Foretold, Outcome, Tries, Verdict

DISTRO = "debian-12"
COUNTS = st.integers(0, 30)


def judged(outcome: ImportOutcome) -> Verdict:
    return judge(make_facts(), make_observation(outcome), make_target(), wheel=make_wheel())


PASS, FAULT = judged(imported()), judged(raised("ValueError", "no"))


def flaky(verdict: Verdict) -> Verdict:
    failed = int(verdict.outcome is Outcome.NOT_PORTABLE)
    tries = Tries(count=1, failed=failed, known=5, known_failed=2)
    return hold_against_tries(verdict, tries)


def expect(*findings: str) -> list[Expectation]:
    return [Expectation(distro="*", finding=name, reason="known") for name in findings]


@given(passed=COUNTS, failed=COUNTS, earlier_passed=COUNTS, earlier_failed=COUNTS)
def test_it_is_flaky_if_and_only_if_some_passed_and_some_failed(
    passed: int, failed: int, earlier_passed: int, earlier_failed: int
) -> None:
    if not passed + failed:
        return
    tries = Tries(
        count=passed + failed,
        failed=failed,
        known=passed + failed + earlier_passed + earlier_failed,
        known_failed=failed + earlier_failed,
    )
    before = FAULT if failed else PASS
    verdict = hold_against_tries(before, tries)
    mixed = bool(passed + earlier_passed) and bool(failed + earlier_failed)
    assert ("flaky" in {finding.name for finding in verdict.findings}) == mixed
    assert (verdict.outcome is Outcome.PORTABLE) == (not failed + earlier_failed)
    assert verdict.tries == (tries if mixed or passed + failed > 1 else None)


def test_what_is_not_proven_stays_so() -> None:
    lost = replace(PASS, outcome=Outcome.NOT_PROVEN, cause=Cause.ENGINE)
    assert flaky(lost) == lost


def test_chance_makes_no_prediction_right() -> None:
    assert PASS.prediction is Foretold.RIGHT
    assert flaky(PASS).prediction is Foretold.BEYOND


@pytest.mark.parametrize("before", [PASS, FAULT], ids=["passed", "failed"])
def test_a_declared_flaky_wheel_may_pass_and_may_fail(before: Verdict) -> None:
    verdict = apply_expectations(flaky(before), expect("flaky"), DISTRO)
    assert verdict.outcome is Outcome.EXPECTED


@pytest.mark.parametrize("before", [PASS, FAULT], ids=["passed", "failed"])
def test_a_declaration_is_strict_about_flaky_as_about_all(before: Verdict) -> None:
    verdict = apply_expectations(before, expect("flaky"), DISTRO)
    assert "expectation-not-met" in {finding.name for finding in verdict.errors}


def test_another_declared_fault_does_not_cover_it() -> None:
    verdict = apply_expectations(flaky(FAULT), expect("import-error"), DISTRO)
    assert verdict.outcome is Outcome.NOT_PORTABLE


@pytest.mark.parametrize("severity", ["ignore", "warning", "information"])
def test_ignoring_it_lets_a_pass_through_and_no_failure(severity: str) -> None:
    rules = [IgnoreRule(finding="flaky", reason="a known race", severity=severity)]
    verdict = apply_ignores(flaky(PASS), rules, DISTRO)
    assert verdict.outcome is Outcome.PORTABLE
    assert [one.finding.name for one in verdict.ignored] == ["flaky"]
    assert apply_ignores(flaky(FAULT), rules, DISTRO).outcome is Outcome.NOT_PORTABLE
