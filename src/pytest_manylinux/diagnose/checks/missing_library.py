"""ML104: a needed library is neither in the wheel nor on the distro."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed, grouped, library_of
from pytest_manylinux.diagnose.elf_index import files_named, grafted_copies, needing
from pytest_manylinux.diagnose.installed import loader_missing
from pytest_manylinux.diagnose.libraries import (
    how_to_get,
    is_driver,
    is_libpython,
    is_on,
    lacked_alone,
    may_be_of_dependency,
)
from pytest_manylinux.diagnose.loader_model import Loading, opened_by_code, unreached
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    needed = unreached(facts, target, wrapped=False)
    for library in unreached(facts, target):
        if _is_plainly_missing(library, facts) and not is_on(library, target.distro):
            unsure = library not in needed or may_be_of_dependency(library, facts)
            severity = Severity.WARNING if unsure else Severity.ERROR
            yield _finding(library, [], severity, facts, target)
    # Else the code may do so on import, or when asked.
    weight = Severity.ERROR if facts.raises_without_library else Severity.WARNING
    for library in _missing_to_all(facts, target):
        yield _finding(library, [], weight, facts, target)
    opened = dict.fromkeys(_missing_to_code(facts, target, always=True), True)
    for library, decides in (lacked_alone(facts, target)[0] | opened).items():
        if _is_plainly_missing(library, facts):
            unsure = not decides or may_be_of_dependency(library, facts)
            severity = Severity.WARNING if unsure else Severity.ERROR
            yield _finding(library, [], severity, facts, target)


def _missing_to_code(facts: WheelFacts, target: Target, *, always: bool) -> dict[str, None]:
    """What keeps code from opening libraries of the wheel, whichever of a group it takes."""
    groups = opened_by_code(facts, target, always=always)
    lacking = [[_lacking(loading, facts, target) for loading in group] for group in groups]
    refused = (libraries for group in lacking if all(group) for libraries in group)
    return dict.fromkeys(library for libraries in refused for library in libraries)


def _missing_to_all(facts: WheelFacts, target: Target) -> dict[str, None]:
    """What keeps code from opening any library of a wheel that has no module that could do without."""
    groups = () if facts.extension_paths else opened_by_code(facts, target, always=False)
    lacking = [_lacking(loading, facts, target) for group in groups for loading in group]
    found = (library for libraries in lacking for library in libraries)
    return dict.fromkeys(found) if all(lacking) else {}


def _lacking(loading: Loading, facts: WheelFacts, target: Target) -> list[str]:
    return [
        need.library
        for need in loading.unreached
        if _is_plainly_missing(need.library, facts) and is_on(need.library, target.distro) is False
    ]


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("missing-library", facts, observation, target))
    for library, members in grouped(found, lambda failure: library_of(failure, facts)):
        lines = [failure.line for failure in members]
        yield _finding(library, lines, members[0].severity, facts, target)
    for problem in loader_missing(facts, observation):
        if _is_plainly_missing(problem.text, facts):
            yield _finding(problem.text, [problem.line], problem.severity, facts, target)
    told = {library_of(failure, facts) for failure in found}
    if any(blamed("import-error", facts, observation, target)):
        # The package's own words may not say that a library could not be opened, and why.
        for library in _missing_to_code(facts, target, always=False):
            if library not in told:
                yield _finding(library, [], Severity.WARNING, facts, target)


def _is_plainly_missing(library: str, facts: WheelFacts) -> bool:
    """Whether no other finding speaks of a library that was not found."""
    if is_libpython(library) or is_driver(library):
        return False
    return not files_named(library, facts) and not grafted_copies(library, facts)


def _finding(
    library: str, lines: list[str], severity: Severity, facts: WheelFacts, target: Target
) -> Finding:
    files = [elf.path for elf in needing(library, facts)]
    who = [f"{path} needs {library}" for path in files]
    if "/" in library:
        who.append("a need with a slash in it is opened as a path; the loader does not search for it")
        return CHECK.finding(
            f"{files[0] if files else 'a dependency'} needs the path {library}, which is not on "
            f"{target.distro.id}",
            evidence=[*lines, *who],
            severity=severity,
            remedy=_PATH_REMEDY,
            files=files,
        )
    if not who:
        who = [f"no ELF file of this wheel needs {library}: a dependency does"]
    return CHECK.finding(
        f"{library} is neither in the wheel nor on {target.distro.id}",
        evidence=[*lines, *who, how_to_get(library, target.distro)],
        severity=severity,
        files=files,
    )


_PATH_REMEDY = (
    "give the library a soname and link it by -L and -l, so that its name alone is recorded; in a "
    "finished file: patchelf --replace-needed PATH NAME FILE.so, then auditwheel repair"
)

CHECK = Check(
    code="ML104",
    name="missing-library",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
