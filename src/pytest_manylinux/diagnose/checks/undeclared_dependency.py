"""ML305: a Python module is missing that the wheel does not declare."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed, grouped
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("undeclared-dependency", facts, observation, target)
    for module, members in grouped(found, lambda failure: failure.outcome.missing_module):
        requires = ", ".join(facts.requires_dist) or "nothing"
        yield CHECK.finding(
            f"no module named {module!r}, and the wheel does not declare what provides it",
            evidence=[*(failure.line for failure in members), f"the wheel declares: {requires}"],
            severity=members[0].severity,
        )


CHECK = Check(
    code="ML305",
    name="undeclared-dependency",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
