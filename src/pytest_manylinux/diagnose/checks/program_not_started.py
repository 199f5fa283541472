"""ML313: a program that the wheel puts on PATH cannot be started."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.command_files import unstartable
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    return _found(facts, "")


def _static(facts: WheelFacts, target: Target) -> Findings:
    return _found(facts, target.distro.family)


def _found(facts: WheelFacts, family: str) -> Findings:
    for fault in unstartable(facts, family):
        yield CHECK.finding(
            f"{fault.path} cannot be started: {fault.words}",
            severity=fault.severity,
            remedy=fault.remedy,
            files=[fault.path],
        )


CHECK = Check(
    code="ML313",
    name="program-not-started",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
)
