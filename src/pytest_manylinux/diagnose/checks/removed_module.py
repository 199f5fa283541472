"""ML307: the wheel imports a module that this Python no longer has."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.modules import REMOVED, SEEDED
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _root(failure: Failure) -> str:
    return failure.outcome.missing_module.partition(".")[0]


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("removed-module", facts, observation, target)
    for module, members in grouped(found, _root):
        if module in REMOVED:
            why = f"left Python's own library in {'.'.join(map(str, REMOVED[module]))}"
        else:
            first = ".".join(map(str, SEEDED[module]))
            why = f"came with setuptools, which venv no longer installs from Python {first} on"
        yield CHECK.finding(
            f"{module} {why}; {target.distro.id} has Python {target.interpreter.version.dotted}",
            evidence=[failure.line for failure in members],
            severity=members[0].severity,
        )


CHECK = Check(
    code="ML307",
    name="removed-module",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
