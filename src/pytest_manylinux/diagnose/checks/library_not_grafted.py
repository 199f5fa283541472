"""ML106: a file asks for a library by its old name; repair grafted it under a new one."""

from __future__ import annotations

from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.elf_index import grafted_copies, needing
from pytest_manylinux.diagnose.installed import loader_missing
from pytest_manylinux.diagnose.libraries import is_on
from pytest_manylinux.diagnose.loader_model import unreached
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    needed = unreached(facts, target, wrapped=False)
    for library in unreached(facts, target):
        if grafted_copies(library, facts) and is_on(library, target.distro) is not True:
            severity = Severity.ERROR if library in needed else Severity.WARNING
            yield _finding(library, [], severity, facts)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("library-not-grafted", facts, observation, target)
    for library, members in grouped(found, _library):
        lines = [failure.line for failure in members]
        yield _finding(library, lines, members[0].severity, facts)
    for problem in loader_missing(facts, observation):
        if grafted_copies(problem.text, facts):
            yield _finding(problem.text, [problem.line], problem.severity, facts)


def _library(failure: Failure) -> str:
    return PurePosixPath(failure.words.library).name if failure.words else ""


def _finding(library: str, lines: list[str], severity: Severity, facts: WheelFacts) -> Finding:
    askers = [elf.path for elf in needing(library, facts)]
    copy = grafted_copies(library, facts)[0].path
    return CHECK.finding(
        f"{askers[0]} still needs {library}, which repair grafted as {PurePosixPath(copy).name}",
        evidence=[*lines, *(f"{path} needs {library}" for path in askers), f"the wheel holds {copy}"],
        severity=severity,
        files=askers,
    )


CHECK = Check(
    code="ML106",
    name="library-not-grafted",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
