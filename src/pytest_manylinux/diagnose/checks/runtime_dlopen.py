"""ML306: a library that is looked for at run time was not found."""

from __future__ import annotations

from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _library(failure: Failure) -> str:
    return PurePosixPath(failure.words.library).name if failure.words else ""


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("runtime-dlopen", facts, observation, target)
    for library, members in grouped(found, _library):
        named = [elf.path for elf in facts.elf if library in elf.libraries_by_name]
        yield CHECK.finding(
            f"{library} is looked for at run time and is not there",
            evidence=[
                *(failure.line for failure in members),
                *(f"{path} holds the name {library}" for path in named),
                f"no ELF file of the wheel names {library} as needed, so no repair could graft it",
            ],
            severity=members[0].severity,
        )


CHECK = Check(
    code="ML306",
    name="runtime-dlopen",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
