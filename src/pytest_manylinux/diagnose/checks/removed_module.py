"""ML307: the wheel imports a module that this Python no longer has."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
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
    title="The wheel imports a module that this Python no longer has",
    meaning=(
        "distutils, imp, asyncore and others left Python in 3.12, cgi, crypt, telnetlib and others in "
        "3.13; pkg_resources was only ever there because venv installed setuptools, which it stopped "
        "doing in 3.12. The wheel's tag and Requires-Python admit a Python that its code does not run "
        "on."
    ),
    by_hand="unzip -p WHEEL '*.py' | grep -n 'import \\(distutils\\|imp\\|pkg_resources\\)'",
    remedies=(
        Remedy(
            words=(
                "use what replaced it (sysconfig, importlib, importlib.resources, importlib.metadata), "
                "or declare setuptools or the standard-NAME back-port as a dependency"
            )
        ),
    ),
    links=(
        Link(title="PEP 594", address="https://peps.python.org/pep-0594/"),
        Link(title="PEP 632", address="https://peps.python.org/pep-0632/"),
    ),
    dynamic=_dynamic,
)
