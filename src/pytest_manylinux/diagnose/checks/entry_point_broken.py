"""ML314: a program calls an object that cannot be imported or called."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, spoken
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("entry-point-broken", facts, observation, target):
        yield CHECK.finding(
            f"{_programs(failure, facts)} calls {failure.outcome.name}: {spoken(failure.outcome)}",
            evidence=[failure.line, *failure.outcome.output.strip().splitlines()[-3:]],
            severity=failure.severity,
        )


def _programs(failure: Failure, facts: WheelFacts) -> str:
    """The programs that call the object."""
    name = failure.outcome.name
    found = [
        program
        for program, text in facts.entry_references
        if "".join(text.split()).partition("[")[0] == name
    ]
    return ", ".join(found) or "a program"


CHECK = Check(
    code="ML314",
    name="entry-point-broken",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
