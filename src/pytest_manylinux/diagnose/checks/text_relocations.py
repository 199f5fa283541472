"""ML114: a file changes its own code when it is loaded."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _paths(facts: WheelFacts) -> list[str]:
    return [elf.path for elf in loaded_files(facts) if elf.text_relocations]


def _wheel(facts: WheelFacts) -> Findings:
    paths = _paths(facts)
    if paths:
        yield CHECK.finding(
            f"{paths[0]} has relocations in its code (DT_TEXTREL)",
            evidence=[f"{path}: DT_TEXTREL" for path in paths],
            files=paths,
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("text-relocations", facts, observation, target))
    if found:
        paths = _paths(facts)
        yield CHECK.finding(
            f"{found[0].subject}: the system does not let it change its own code",
            evidence=[*(failure.line for failure in found), *(f"{p}: DT_TEXTREL" for p in paths)],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=paths,
        )


CHECK = Check(
    code="ML114",
    name="text-relocations",
    severity=Severity.WARNING,
    wheel=_wheel,
    dynamic=_dynamic,
)
