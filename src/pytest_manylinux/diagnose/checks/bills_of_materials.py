"""Grafted libraries that a wheel's bills of materials and licence files do not account for."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.grafts import contradictions, grafts
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML140: no bill of materials names a grafted library, with its version and package URL.
#
# A wheel without any such document is common, and only told; one that names some libraries and not
# others looks whole and is not.


def _graft_unaccounted(facts: WheelFacts) -> Findings:
    lacking = [graft for graft in grafts(facts) if graft.lacks]
    if not lacking or any(document.problem for document in facts.sboms):
        return  # sbom-wrong tells of documents that were not read: they may name it
    total = len(facts.grafted)
    told = f"{len(lacking)} of {total} grafted libraries" if total > 1 else "the grafted library"
    where = ", ".join(d.path.rpartition("/")[2] for d in facts.sboms)
    yield GRAFT_UNACCOUNTED.finding(
        f"{told} not accounted for in {where}" if facts.sboms else f"no SBOM names {told}",
        evidence=[f"{graft.elf.path}: lacks {', '.join(graft.lacks)}" for graft in lacking],
        severity=Severity.WARNING if facts.sboms else Severity.INFORMATION,
        files=[graft.elf.path for graft in lacking],
    )


GRAFT_UNACCOUNTED = Check(
    code="ML140", name="graft-unaccounted", severity=Severity.WARNING, wheel=_graft_unaccounted
)


# ML141: a bill of materials says something else than the wheel that carries it.


def _sbom_wrong(facts: WheelFacts) -> Findings:
    for contradiction in contradictions(facts):
        yield SBOM_WRONG.finding(contradiction.words, files=contradiction.files)


SBOM_WRONG = Check(code="ML141", name="sbom-wrong", severity=Severity.WARNING, wheel=_sbom_wrong)


# ML142: a grafted library's licence is not among the wheel's licence files.


def _graft_license(facts: WheelFacts) -> Findings:
    without = [
        graft.elf.path
        for graft in grafts(facts)
        if graft.elf.path not in facts.licensed_libraries
        and not (graft.component is not None and graft.component.licensed)
    ]
    if without:
        yield GRAFT_LICENSE.finding(
            f"no licence file speaks of {len(without)} of {len(facts.grafted)} grafted libraries",
            evidence=without,
            files=without,
        )


GRAFT_LICENSE = Check(
    code="ML142", name="graft-license", severity=Severity.INFORMATION, wheel=_graft_license
)
