"""ML321: the project's own tests were to be run, and none was: the trial proves nothing."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation, last_lines
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    suite = observation.tests
    if suite is not None and suite.not_run:
        yield CHECK.finding(
            f"no test ran: {suite.not_run}",
            evidence=[f"it said: {line}" for line in last_lines(suite.output).splitlines()],
        )


CHECK = Check(
    code="ML321",
    name="tests-not-run",
    severity=Severity.WARNING,  # the verdict is not-proven: nothing is known against the wheel
    dynamic=_dynamic,
)
