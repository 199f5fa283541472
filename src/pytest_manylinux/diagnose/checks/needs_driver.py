"""ML126: a file needs a library that only a device's driver brings."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed, grouped, library_of
from pytest_manylinux.diagnose.elf_index import needing
from pytest_manylinux.diagnose.installed import loader_missing
from pytest_manylinux.diagnose.libraries import is_driver, is_on, lacked_alone
from pytest_manylinux.diagnose.loader_model import unreached
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    needed = unreached(facts, target, wrapped=False)
    for library in filter(is_driver, unreached(facts, target)):
        if not is_on(library, target.distro):
            severity = Severity.ERROR if library in needed else Severity.WARNING
            yield _finding(library, [], severity, facts, target)
    # Of a wheel of libraries alone, others open: a machine without the device can use those.
    lacked, some = lacked_alone(facts, target)
    for library in filter(is_driver, lacked):
        yield _finding(library, [], Severity.WARNING if some else Severity.ERROR, facts, target)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("needs-driver", facts, observation, target)
    for library, members in grouped(found, lambda failure: library_of(failure, facts)):
        lines = [failure.line for failure in members]
        # As in a prediction: what opened can be used.
        least = Severity.WARNING if any(one.opened for one in observation.libraries) else Severity.ERROR
        severity = max(least, members[0].severity, key=list(Severity).index)
        yield _finding(library, lines, severity, facts, target)
    for problem in loader_missing(facts, observation):
        if is_driver(problem.text):
            yield _finding(problem.text, [problem.line], problem.severity, facts, target)


def _finding(
    library: str, lines: list[str], severity: Severity, facts: WheelFacts, target: Target
) -> Finding:
    files = [elf.path for elf in needing(library, facts)]
    return CHECK.finding(
        f"{library} comes with a device's driver; {target.distro.id} has none",
        evidence=[*lines, *(f"{path} needs {library}" for path in files)],
        severity=severity,
        files=files,
    )


CHECK = Check(
    code="ML126",
    name="needs-driver",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
