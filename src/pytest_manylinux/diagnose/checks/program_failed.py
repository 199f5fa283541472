"""ML310: a program that the configuration asked to run did not end well."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.checks.crash import signal_name
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation, ProgramOutcome
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _end(program: ProgramOutcome) -> str:
    if program.signal is not None:
        return f"killed by {signal_name(program.signal)}"
    return f"exit code {program.exit_code}"


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    for program in observation.programs:
        if program.exit_code != 0:
            yield CHECK.finding(
                f"{' '.join(program.command)}: {_end(program)}",
                evidence=program.output.strip().splitlines()[-6:],
            )


CHECK = Check(
    code="ML310",
    name="program-failed",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
