"""ML204: a dependency cannot be had for the target."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.DEPENDENCY:
        yield CHECK.finding(
            f"a dependency cannot be had on {target.distro.id}: {refusal.line}",
            evidence=refusal.lines,
        )


CHECK = Check(
    code="ML204",
    name="dependency-unavailable",
    severity=Severity.WARNING,
    title="A dependency cannot be had for the target",
    meaning=(
        "Something that the wheel declares has no release, or no wheel, that this distro's Python "
        "and pip can install, or the requirements exclude each other. Nothing is proven of the "
        "wheel itself, so the trial is not proven; it is never counted as a pass."
    ),
    by_hand="python3 -m pip download --only-binary=:all: WHEEL",
    remedies=(
        Remedy(
            words=(
                "loosen the requirement for that Python, or let requires-python exclude it; "
                "dependencies = 'none' tries the wheel without them"
            )
        ),
    ),
    links=(
        Link(
            title="pip: dependency resolution",
            address="https://pip.pypa.io/en/stable/topics/dependency-resolution/",
        ),
    ),
    dynamic=_dynamic,
)
