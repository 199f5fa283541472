"""ML101: the file breaks the wheel specification."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, not_unpacked, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    for problem in facts.problems:
        # Installers differ in what they let pass; what the trial shows decides there.
        yield CHECK.finding(problem, severity=Severity.WARNING)
    if facts.mismatches:
        # No installer looks; still the bytes are not those that were built.
        yield CHECK.finding(f"RECORD is wrong: {facts.mismatches[0]}", evidence=facts.mismatches)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if not_unpacked(facts, target):
        return  # `packed-unusually` tells it
    if refusal is not None and refusal.kind is PipRefusal.MALFORMED:
        yield CHECK.finding(
            f"pip {refusal.pip} finds the wheel invalid: {refusal.line}",
            evidence=[*refusal.lines, *facts.problems],
        )


CHECK = Check(
    code="ML101",
    name="wheel-malformed",
    severity=Severity.ERROR,
    wheel=_wheel,
    dynamic=_dynamic,
)
