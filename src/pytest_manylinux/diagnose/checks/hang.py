"""ML304: an import did not end."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("hang", facts, observation, target):
        outcome = failure.outcome
        output = outcome.output.strip().splitlines()[-3:]
        ended = (
            "the interpreter did not end after the import"
            if outcome.completed
            else f"not ended after {outcome.duration:.0f} s"
        )
        yield CHECK.finding(
            f"{failure.subject}: {ended}",
            evidence=[failure.line, *(f"it said: {line}" for line in output)],
            severity=failure.severity,
            remedy=CHECK.text.remedies[1].words if outcome.completed else "",
        )


CHECK = Check(
    code="ML304",
    name="hang",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
