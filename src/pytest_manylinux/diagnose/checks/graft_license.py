"""ML142: a grafted library's licence is not among the wheel's licence files."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.grafts import grafts
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    without = [
        graft.elf.path
        for graft in grafts(facts)
        if graft.elf.path not in facts.licensed_libraries
        and not (graft.component is not None and graft.component.licensed)
    ]
    if without:
        yield CHECK.finding(
            f"no licence file speaks of {len(without)} of {len(facts.grafted)} grafted libraries",
            evidence=without,
            files=without,
        )


CHECK = Check(code="ML142", name="graft-license", severity=Severity.INFORMATION, wheel=_wheel)
