"""ML204: a dependency is not available for the target."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.DEPENDENCY:
        yield CHECK.finding(
            f"a dependency cannot be had on {target.distro.id}: {refusal.line}",
            evidence=refusal.lines,
        )


CHECK = Check(
    code="ML204",
    name="dependency-unavailable",
    severity=Severity.WARNING,
    dynamic=_dynamic,
)
