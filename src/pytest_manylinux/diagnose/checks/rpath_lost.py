"""ML105: the wheel has the needed library, but the search path does not reach it."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed, grouped, library_of
from pytest_manylinux.diagnose.elf_index import files_named, needing
from pytest_manylinux.diagnose.installed import loader_missing
from pytest_manylinux.diagnose.libraries import is_libpython, is_on
from pytest_manylinux.diagnose.loader_model import unreached
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _lost(facts: WheelFacts, target: Target | None = None) -> list[str]:
    found = unreached(facts, target)
    return [lib for lib in found if files_named(lib, facts) and not is_libpython(lib)]


def _may_be_opened(library: str, facts: WheelFacts) -> bool:
    """Whether the wheel's Python code opens such a file by ctypes, by its path and perhaps before."""
    return any(fnmatchcase(library, pattern) for pattern in facts.opened_by_path)


def _wheel(facts: WheelFacts) -> Findings:
    for library in _lost(facts):
        # Code may load it first by its path; whether it does, a trial shows.
        yield _finding(library, [], Severity.WARNING, facts)


def _static(facts: WheelFacts, target: Target) -> Findings:
    needed = unreached(facts, target, wrapped=False)
    for library in _lost(facts, target):
        if is_on(library, target.distro) is not True:
            sure = library in needed and not _may_be_opened(library, facts)
            severity = Severity.ERROR if sure else Severity.WARNING
            yield _finding(library, [], severity, facts, target)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("rpath-lost", facts, observation, target)
    for library, members in grouped(found, lambda failure: library_of(failure, facts)):
        lines = [failure.line for failure in members]
        yield _finding(library, lines, members[0].severity, facts, target)
    for problem in loader_missing(facts, observation):
        if files_named(problem.text, facts) and not is_libpython(problem.text):
            yield _finding(problem.text, [problem.line], problem.severity, facts, target)


def _finding(
    library: str,
    lines: list[str],
    severity: Severity,
    facts: WheelFacts,
    target: Target | None = None,
) -> Finding:
    place = files_named(library, facts)[0].path
    askers = needing(library, facts)
    in_reach = library not in _lost(facts, target)  # then the code moved a file before it loaded it
    words = "out of reach from where its asker was loaded" if in_reach else "where no search path leads"
    paths = [
        f"{elf.path} needs it and searches {', '.join(elf.runpath or elf.rpath) or 'no folder'}"
        for elf in askers
    ]
    return CHECK.finding(
        f"{library} is in the wheel as {place}, {words}",
        evidence=[*lines, *paths],
        severity=severity,
        files=[] if in_reach else [elf.path for elf in askers],
    )


CHECK = Check(
    code="ML105",
    name="rpath-lost",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
