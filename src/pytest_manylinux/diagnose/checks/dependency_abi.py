"""ML308: a dependency's other release broke the binary interface."""

from __future__ import annotations

import re

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.modules import declared
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_DOTTED = re.compile(
    r"\b([a-z_][a-z0-9_]*)\.[\w.]+ size changed|\b(numpy|libxml2|scipy)\b", re.IGNORECASE
)


def _dependency(words: str) -> str:
    match = _DOTTED.search(words)
    return (match[1] or match[2]).lower() if match else ""


def _bound(name: str, facts: WheelFacts, observation: Observation) -> list[str]:
    """What the wheel asks of the dependency, and what it got."""
    requirement = declared(name, facts)
    asked = str(requirement) if requirement else f"nothing on {name}"
    installed = dict(observation.install.installed) if observation.install else {}
    got = [f"installed: {name} {installed[name]}"] if name in installed else []
    return [f"the wheel declares {asked}", *got]


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("dependency-abi", facts, observation, target):
        outcome = failure.outcome
        name = _dependency(f"{outcome.message}\n{outcome.output}")
        of = f" of {name}" if name else " of a dependency"
        yield CHECK.finding(
            f"import {outcome.name}: made against another release{of}",
            evidence=[failure.line, *(_bound(name, facts, observation) if name else [])],
            severity=failure.severity,
        )


CHECK = Check(
    code="ML308",
    name="dependency-abi",
    severity=Severity.ERROR,
    title="A dependency's other release broke the binary interface",
    meaning=(
        "The extension module was compiled against one release of a dependency and meets another "
        "whose C structures differ: numpy.dtype size changed, a module compiled using NumPy 1.x, "
        "compiled against API version, another libxml2. The metadata lets pip choose that release: a "
        "bound is missing. The evidence shows what is declared and what was installed."
    ),
    by_hand="unzip -p WHEEL '*.dist-info/METADATA' | grep ^Requires-Dist; pip list",
    remedies=(
        Remedy(
            words=(
                "compile against the oldest release that you support, with numpy 2's headers, or bound "
                "the dependency above in [project] dependencies"
            )
        ),
    ),
    links=(
        Link(
            title="NumPy: for downstream package authors",
            address="https://numpy.org/doc/stable/dev/depending_on_numpy.html",
        ),
    ),
    dynamic=_dynamic,
)
