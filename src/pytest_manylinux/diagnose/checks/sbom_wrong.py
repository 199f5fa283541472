"""ML141: a bill of materials says something else than the wheel that carries it."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.grafts import contradictions
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    for contradiction in contradictions(facts):
        yield CHECK.finding(contradiction.words, files=contradiction.files)


CHECK = Check(code="ML141", name="sbom-wrong", severity=Severity.WARNING, wheel=_wheel)
