"""ML104: a needed library is neither in the wheel nor on the distro."""

from __future__ import annotations

from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.elf_index import files_named, grafted_copies, needing
from pytest_manylinux.diagnose.installed import loader_missing
from pytest_manylinux.diagnose.libraries import how_to_get, is_on
from pytest_manylinux.diagnose.loader_model import unreached
from pytest_manylinux.diagnose.python_library import is_libpython
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    for library in unreached(facts):
        if not _is_plainly_missing(library, facts):
            continue
        present = is_on(library, target.distro)
        if present:
            continue
        # A library that no policy lists may lie in a dependency's folder, loaded before (what
        # PyTorch's and PyQt's parts do): with dependencies the bytes alone do not tell.
        sure = present is False or not facts.requires_dist
        severity = Severity.ERROR if sure else Severity.WARNING
        yield _finding(library, [], severity, facts, target)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("missing-library", facts, observation, target)
    for library, members in grouped(found, _library):
        lines = [failure.line for failure in members]
        yield _finding(library, lines, members[0].severity, facts, target)
    for problem in loader_missing(facts, observation):
        if _is_plainly_missing(problem.text, facts):
            yield _finding(problem.text, [problem.line], problem.severity, facts, target)


def _is_plainly_missing(library: str, facts: WheelFacts) -> bool:
    """Whether no other finding speaks of a library that was not found."""
    if is_libpython(library):
        return False
    return not files_named(library, facts) and not grafted_copies(library, facts)


def _library(failure: Failure) -> str:
    return PurePosixPath(failure.words.library).name if failure.words else ""


def _finding(
    library: str, lines: list[str], severity: Severity, facts: WheelFacts, target: Target
) -> Finding:
    files = [elf.path for elf in needing(library, facts)]
    who = [f"{path} needs {library}" for path in files]
    if not who:
        who = [f"no ELF file of this wheel needs {library}: a dependency does"]
    return CHECK.finding(
        f"{library} is neither in the wheel nor on {target.distro.id}",
        evidence=[*lines, *who, how_to_get(library, target.distro)],
        severity=severity,
        files=files,
    )


CHECK = Check(
    code="ML104",
    name="missing-library",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
