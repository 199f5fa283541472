"""ML315: a name that the wheel offers is imported from another file."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.inspect.names import NOT_NAMESPACES
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    for outcome in observation.imports:
        if outcome.foreign_file:
            by_mistake = (
                outcome.name in NOT_NAMESPACES
            )  # `tests` and the like: nobody means to offer them
            yield CHECK.finding(
                f"import {outcome.name} gives {outcome.foreign_file}, which is not the wheel's",
                severity=Severity.WARNING if by_mistake else None,
            )


CHECK = Check(
    code="ML315",
    name="module-shadowed",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
