"""ML302: the interpreter exited in the middle of an import."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("import-exited", facts, observation, target):
        outcome = failure.outcome
        output = outcome.output.strip().splitlines()[-3:]
        when = "while it shut down, the import complete" if outcome.completed else "half-way"
        yield CHECK.finding(
            f"{failure.subject}: the interpreter exited with code {outcome.exit_code} {when}",
            evidence=[failure.line, *(f"it said: {line}" for line in output)],
            severity=failure.severity,
            remedy=CHECK.text.remedies[1].words if outcome.completed else "",
        )


CHECK = Check(
    code="ML302",
    name="import-exited",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
