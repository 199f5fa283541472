"""ML301: an import raised, for a reason that no other finding names."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed, grouped, spoken
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("import-error", facts, observation, target)
    for words, members in grouped(found, lambda failure: spoken(failure.outcome)):
        yield CHECK.finding(
            f"{members[0].subject}: {words}",
            evidence=[failure.line for failure in members],
            severity=members[0].severity,
        )


CHECK = Check(
    code="ML301",
    name="import-error",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
