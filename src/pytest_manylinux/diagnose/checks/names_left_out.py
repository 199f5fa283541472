"""ML318: names that the wheel offers were not imported, by the configuration."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_SHOWN = 20


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    names = observation.left_out
    if names:
        more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
        yield CHECK.finding(
            f"not imported, by imports or import-skip: {', '.join([*names[:_SHOWN], *more])}"
        )


CHECK = Check(
    code="ML318",
    name="names-left-out",
    severity=Severity.INFORMATION,
    dynamic=_dynamic,
)
