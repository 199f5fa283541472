"""ML203: Requires-Python excludes the distro's Python."""

from __future__ import annotations

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    if not facts.requires_python:
        return
    try:
        specifier = SpecifierSet(facts.requires_python)
    except InvalidSpecifier:
        return
    dotted = target.interpreter.version.dotted
    # A bound inside the series (>=3.9.5) is the distro's own pip's to judge: any release counts.
    if not any(specifier.contains(f"{dotted}.{patch}", prereleases=True) for patch in (0, 99)):
        yield CHECK.finding(
            f"the wheel requires Python {facts.requires_python}; {target.distro.id} has {dotted}"
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.PYTHON:
        yield CHECK.finding(
            f"the wheel requires Python {facts.requires_python}; {target.distro.id} has "
            f"{target.interpreter.version.dotted}",
            evidence=refusal.lines,
        )


CHECK = Check(
    code="ML203",
    name="requires-python",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
