"""ML205: the distro's pip did not install the wheel, for a reason that no other finding names."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.OTHER:
        yield CHECK.finding(
            f"pip {refusal.pip} did not install the wheel: {refusal.line}", evidence=refusal.lines
        )


CHECK = Check(
    code="ML205",
    name="install-failed",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
