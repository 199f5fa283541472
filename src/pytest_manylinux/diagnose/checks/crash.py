"""ML303: the interpreter was killed by a signal during an import."""

from __future__ import annotations

import signal

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def signal_name(number: int | None) -> str:
    """`SIGSEGV` for 11; the number for signals that have no name here."""
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


def _when(failure: Failure) -> str:
    return " while the interpreter shut down, the import complete" if failure.outcome.completed else ""


def _evidence(failure: Failure) -> list[str]:
    lines = failure.outcome.output.strip().splitlines()
    fault = [line.strip() for line in lines if line.startswith(("Fatal Python error", "  File "))]
    own = [lib.path for lib in failure.outcome.loaded if lib.from_wheel]
    return [failure.line, *fault[:6], *(f"loaded from the wheel: {path}" for path in own[:6])]


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("crash", facts, observation, target):
        outcome = failure.outcome
        yield CHECK.finding(
            f"{failure.subject}: killed by {signal_name(outcome.signal)}{_when(failure)}",
            evidence=_evidence(failure),
            severity=failure.severity,
        )


CHECK = Check(
    code="ML303",
    name="crash",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
