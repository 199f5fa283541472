"""ML109: a file is linked to libpython."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed, grouped
from pytest_manylinux.diagnose.elf_index import copies_of, needing
from pytest_manylinux.diagnose.installed import loader_missing
from pytest_manylinux.diagnose.libraries import has_libpython, is_libpython
from pytest_manylinux.diagnose.loader_model import unreached
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    for library in filter(is_libpython, unreached(facts)):
        yield _finding(library, [], Severity.WARNING, facts)
    for copy in copies_of(is_libpython, facts):
        name = copy.path.rpartition("/")[2]
        users = needing(name, facts)
        yield CHECK.finding(
            f"the wheel carries an interpreter of its own: {copy.path}",
            evidence=[f"{elf.path} needs {name}" for elf in users],
            severity=Severity.WARNING,
            files=[copy.path],
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    for library in filter(is_libpython, unreached(facts, target, wrapped=False)):
        if has_libpython(library, target) is False:
            lines = [f"the Python of {target.distro.id} does not use {library}"]
            yield _finding(library, lines, Severity.ERROR, facts)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("libpython-linked", facts, observation, target)
    for library, members in grouped(found, lambda f: f.words.library if f.words else ""):
        lines = [failure.line for failure in members]
        yield _finding(library.rpartition("/")[2], lines, members[0].severity, facts)
    for problem in loader_missing(facts, observation):
        if is_libpython(problem.text):
            yield _finding(problem.text, [problem.line], problem.severity, facts)


def _finding(library: str, lines: list[str], severity: Severity, facts: WheelFacts) -> Finding:
    files = [elf.path for elf in needing(library, facts)]
    where = files[0] if files else "a dependency"
    return CHECK.finding(
        f"{where} is linked to {library}",
        evidence=[*lines, *(f"{path} needs {library}" for path in files)],
        severity=severity,
        files=files,
    )


CHECK = Check(
    code="ML109",
    name="libpython-linked",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
