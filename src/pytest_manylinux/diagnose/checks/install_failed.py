"""ML205: the distro's pip did not install the wheel, for a reason that no other finding names."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.OTHER:
        yield CHECK.finding(
            f"pip {refusal.pip} did not install the wheel: {refusal.line}", evidence=refusal.lines
        )


CHECK = Check(
    code="ML205",
    name="install-failed",
    severity=Severity.ERROR,
    title="The distro's pip did not install the wheel",
    meaning=(
        "The pip that the distro ships ended with an error that is none of those with a finding of "
        "their own. Its words are in the evidence, and in full in the log."
    ),
    by_hand="python3 -m venv v && v/bin/pip install --no-index --no-deps WHEEL",
    remedies=(Remedy(words="read pip's words; an older pip may want an older form of metadata"),),
    links=(Link(title="pip's changelog", address="https://pip.pypa.io/en/stable/news/"),),
    dynamic=_dynamic,
)
