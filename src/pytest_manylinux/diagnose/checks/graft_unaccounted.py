"""ML140: no bill of materials names a grafted library, with its version and package URL.

A wheel without any such document is common, and only told; one that names some libraries and not
others looks whole and is not.
"""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.grafts import grafts
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    lacking = [graft for graft in grafts(facts) if graft.lacks]
    if not lacking or any(document.problem for document in facts.sboms):
        return  # sbom-wrong tells of documents that were not read: they may name it
    total = len(facts.grafted)
    told = f"{len(lacking)} of {total} grafted libraries" if total > 1 else "the grafted library"
    where = ", ".join(d.path.rpartition("/")[2] for d in facts.sboms)
    yield CHECK.finding(
        f"{told} not accounted for in {where}" if facts.sboms else f"no SBOM names {told}",
        evidence=[f"{graft.elf.path}: lacks {', '.join(graft.lacks)}" for graft in lacking],
        severity=Severity.WARNING if facts.sboms else Severity.INFORMATION,
        files=[graft.elf.path for graft in lacking],
    )


CHECK = Check(code="ML140", name="graft-unaccounted", severity=Severity.WARNING, wheel=_wheel)
