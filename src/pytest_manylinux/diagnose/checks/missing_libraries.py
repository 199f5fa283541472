"""Shared libraries that a wheel's files ask for and do not find."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped, library_of
from pytest_manylinux.diagnose.elf_index import copies_of, files_named, grafted_copies, needing
from pytest_manylinux.diagnose.libraries import (
    has_libpython,
    how_to_get,
    is_driver,
    is_libpython,
    is_on,
    lacked_alone,
    may_be_of_dependency,
)
from pytest_manylinux.diagnose.loader_model import Loading, opened_by_code, unreached
from pytest_manylinux.diagnose.loader_words import loader_missing
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML104: a needed library is neither in the wheel nor on the distro.


def _missing_library_static(facts: WheelFacts, target: Target) -> Findings:
    needed = unreached(facts, target, wrapped=False)
    for library in unreached(facts, target):
        if _is_plainly_missing(library, facts) and not is_on(library, target.distro):
            unsure = library not in needed or may_be_of_dependency(library, facts)
            severity = Severity.WARNING if unsure else Severity.ERROR
            yield _missing_library_finding(library, [], severity, facts, target)
    # Else the code may do so on import, or when asked.
    weight = Severity.ERROR if facts.raises_without_library else Severity.WARNING
    for library in _missing_to_all(facts, target):
        yield _missing_library_finding(library, [], weight, facts, target)
    opened = dict.fromkeys(_missing_to_code(facts, target, always=True), True)
    for library, decides in (lacked_alone(facts, target)[0] | opened).items():
        if _is_plainly_missing(library, facts):
            unsure = not decides or may_be_of_dependency(library, facts)
            severity = Severity.WARNING if unsure else Severity.ERROR
            yield _missing_library_finding(library, [], severity, facts, target)


def _missing_to_code(facts: WheelFacts, target: Target, *, always: bool) -> dict[str, None]:
    """What keeps code from opening libraries of the wheel, whichever of a group it takes."""
    groups = opened_by_code(facts, target, always=always)
    lacking = [[_lacking_to(loading, facts, target) for loading in group] for group in groups]
    refused = (libraries for group in lacking if all(group) for libraries in group)
    return dict.fromkeys(library for libraries in refused for library in libraries)


def _missing_to_all(facts: WheelFacts, target: Target) -> dict[str, None]:
    """What keeps code from opening any library of a wheel that has no module that could do without."""
    groups = () if facts.extension_paths else opened_by_code(facts, target, always=False)
    lacking = [_lacking_to(loading, facts, target) for group in groups for loading in group]
    found = (library for libraries in lacking for library in libraries)
    return dict.fromkeys(found) if all(lacking) else {}


def _lacking_to(loading: Loading, facts: WheelFacts, target: Target) -> list[str]:
    return [
        need.library
        for need in loading.unreached
        if _is_plainly_missing(need.library, facts) and is_on(need.library, target.distro) is False
    ]


def _missing_library_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("missing-library", facts, observation, target))
    for library, members in grouped(found, lambda failure: library_of(failure, facts)):
        lines = [failure.line for failure in members]
        yield _missing_library_finding(library, lines, members[0].severity, facts, target)
    for problem in loader_missing(facts, observation):
        if _is_plainly_missing(problem.text, facts):
            yield _missing_library_finding(
                problem.text, [problem.line], problem.severity, facts, target
            )
    told = {library_of(failure, facts) for failure in found}
    if any(blamed("import-error", facts, observation, target)):
        # The package's own words may not say that a library could not be opened, and why.
        for library in _missing_to_code(facts, target, always=False):
            if library not in told:
                yield _missing_library_finding(library, [], Severity.WARNING, facts, target)


def _is_plainly_missing(library: str, facts: WheelFacts) -> bool:
    """Whether no other finding speaks of a library that was not found."""
    if is_libpython(library) or is_driver(library):
        return False
    return not files_named(library, facts) and not grafted_copies(library, facts)


def _missing_library_finding(
    library: str, lines: list[str], severity: Severity, facts: WheelFacts, target: Target
) -> Finding:
    files = [elf.path for elf in needing(library, facts)]
    who = [f"{path} needs {library}" for path in files]
    if "/" in library:
        who.append("a need with a slash in it is opened as a path; the loader does not search for it")
        return MISSING_LIBRARY.finding(
            f"{files[0] if files else 'a dependency'} needs the path {library}, which is not on "
            f"{target.distro.id}",
            evidence=[*lines, *who],
            severity=severity,
            remedy=_PATH_REMEDY,
            files=files,
        )
    if not who:
        who = [f"no ELF file of this wheel needs {library}: a dependency does"]
    return MISSING_LIBRARY.finding(
        f"{library} is neither in the wheel nor on {target.distro.id}",
        evidence=[*lines, *who, how_to_get(library, target.distro)],
        severity=severity,
        files=files,
    )


_PATH_REMEDY = (
    "give the library a soname and link it by -L and -l, so that its name alone is recorded; in a "
    "finished file: patchelf --replace-needed PATH NAME FILE.so, then auditwheel repair"
)

MISSING_LIBRARY = Check(
    code="ML104",
    name="missing-library",
    severity=Severity.ERROR,
    static=_missing_library_static,
    dynamic=_missing_library_dynamic,
)


# ML106: a file asks for a library by its old name; repair grafted it under a new one.


def _library_not_grafted_static(facts: WheelFacts, target: Target) -> Findings:
    needed = unreached(facts, target, wrapped=False)
    for library in unreached(facts, target):
        if grafted_copies(library, facts) and is_on(library, target.distro) is not True:
            severity = Severity.ERROR if library in needed else Severity.WARNING
            yield _library_not_grafted_finding(library, [], severity, facts)


def _library_not_grafted_dynamic(
    facts: WheelFacts, observation: Observation, target: Target
) -> Findings:
    found = blamed("library-not-grafted", facts, observation, target)
    for library, members in grouped(found, _library_named):
        lines = [failure.line for failure in members]
        yield _library_not_grafted_finding(library, lines, members[0].severity, facts)
    for problem in loader_missing(facts, observation):
        if grafted_copies(problem.text, facts):
            yield _library_not_grafted_finding(problem.text, [problem.line], problem.severity, facts)


def _library_named(failure: Failure) -> str:
    return PurePosixPath(failure.words.library).name if failure.words else ""


def _library_not_grafted_finding(
    library: str, lines: list[str], severity: Severity, facts: WheelFacts
) -> Finding:
    askers = [elf.path for elf in needing(library, facts)]
    copy = grafted_copies(library, facts)[0].path
    return LIBRARY_NOT_GRAFTED.finding(
        f"{askers[0]} still needs {library}, which repair grafted as {PurePosixPath(copy).name}",
        evidence=[*lines, *(f"{path} needs {library}" for path in askers), f"the wheel holds {copy}"],
        severity=severity,
        files=askers,
    )


LIBRARY_NOT_GRAFTED = Check(
    code="ML106",
    name="library-not-grafted",
    severity=Severity.ERROR,
    static=_library_not_grafted_static,
    dynamic=_library_not_grafted_dynamic,
)


# ML105: the wheel has the needed library, but the search path does not reach it.


def _lost_by_rpath(facts: WheelFacts, target: Target | None = None) -> list[str]:
    found = unreached(facts, target)
    return [lib for lib in found if files_named(lib, facts) and not is_libpython(lib)]


def _may_be_opened(library: str, facts: WheelFacts) -> bool:
    """Whether the wheel's Python code opens such a file by ctypes, by its path and perhaps before."""
    return any(fnmatchcase(library, pattern) for pattern in facts.opened_by_path)


def _rpath_lost_wheel(facts: WheelFacts) -> Findings:
    for library in _lost_by_rpath(facts):
        # Code may load it first by its path; whether it does, a trial shows.
        yield _rpath_lost_finding(library, [], Severity.WARNING, facts)


def _rpath_lost_static(facts: WheelFacts, target: Target) -> Findings:
    needed = unreached(facts, target, wrapped=False)
    for library in _lost_by_rpath(facts, target):
        if is_on(library, target.distro) is not True:
            sure = library in needed and not _may_be_opened(library, facts)
            severity = Severity.ERROR if sure else Severity.WARNING
            yield _rpath_lost_finding(library, [], severity, facts, target)


def _rpath_lost_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("rpath-lost", facts, observation, target)
    for library, members in grouped(found, lambda failure: library_of(failure, facts)):
        lines = [failure.line for failure in members]
        yield _rpath_lost_finding(library, lines, members[0].severity, facts, target)
    for problem in loader_missing(facts, observation):
        if files_named(problem.text, facts) and not is_libpython(problem.text):
            yield _rpath_lost_finding(problem.text, [problem.line], problem.severity, facts, target)


def _rpath_lost_finding(
    library: str,
    lines: list[str],
    severity: Severity,
    facts: WheelFacts,
    target: Target | None = None,
) -> Finding:
    place = files_named(library, facts)[0].path
    askers = needing(library, facts)
    in_reach = library not in _lost_by_rpath(
        facts, target
    )  # then the code moved a file before it loaded it
    words = "out of reach from where its asker was loaded" if in_reach else "where no search path leads"
    paths = [
        f"{elf.path} needs it and searches {', '.join(elf.runpath or elf.rpath) or 'no folder'}"
        for elf in askers
    ]
    return RPATH_LOST.finding(
        f"{library} is in the wheel as {place}, {words}",
        evidence=[*lines, *paths],
        severity=severity,
        files=[] if in_reach else [elf.path for elf in askers],
    )


RPATH_LOST = Check(
    code="ML105",
    name="rpath-lost",
    severity=Severity.ERROR,
    wheel=_rpath_lost_wheel,
    static=_rpath_lost_static,
    dynamic=_rpath_lost_dynamic,
)


# ML126: a file needs a library that only a device's driver brings.


def _needs_driver_static(facts: WheelFacts, target: Target) -> Findings:
    needed = unreached(facts, target, wrapped=False)
    for library in filter(is_driver, unreached(facts, target)):
        if not is_on(library, target.distro):
            severity = Severity.ERROR if library in needed else Severity.WARNING
            yield _needs_driver_finding(library, [], severity, facts, target)
    # Of a wheel of libraries alone, others open: a machine without the device can use those.
    lacked, some = lacked_alone(facts, target)
    for library in filter(is_driver, lacked):
        yield _needs_driver_finding(
            library, [], Severity.WARNING if some else Severity.ERROR, facts, target
        )


def _needs_driver_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("needs-driver", facts, observation, target)
    for library, members in grouped(found, lambda failure: library_of(failure, facts)):
        lines = [failure.line for failure in members]
        # As in a prediction: what opened can be used.
        least = Severity.WARNING if any(one.opened for one in observation.libraries) else Severity.ERROR
        severity = max(least, members[0].severity, key=list(Severity).index)
        yield _needs_driver_finding(library, lines, severity, facts, target)
    for problem in loader_missing(facts, observation):
        if is_driver(problem.text):
            yield _needs_driver_finding(problem.text, [problem.line], problem.severity, facts, target)


def _needs_driver_finding(
    library: str, lines: list[str], severity: Severity, facts: WheelFacts, target: Target
) -> Finding:
    files = [elf.path for elf in needing(library, facts)]
    return NEEDS_DRIVER.finding(
        f"{library} comes with a device's driver; {target.distro.id} has none",
        evidence=[*lines, *(f"{path} needs {library}" for path in files)],
        severity=severity,
        files=files,
    )


NEEDS_DRIVER = Check(
    code="ML126",
    name="needs-driver",
    severity=Severity.ERROR,
    static=_needs_driver_static,
    dynamic=_needs_driver_dynamic,
)


# ML109: a file is linked to libpython.


def _libpython_linked_wheel(facts: WheelFacts) -> Findings:
    for library in filter(is_libpython, unreached(facts)):
        yield _libpython_linked_finding(library, [], Severity.WARNING, facts)
    for copy in copies_of(is_libpython, facts):
        name = copy.path.rpartition("/")[2]
        users = needing(name, facts)
        yield LIBPYTHON_LINKED.finding(
            f"the wheel carries an interpreter of its own: {copy.path}",
            evidence=[f"{elf.path} needs {name}" for elf in users],
            severity=Severity.WARNING,
            files=[copy.path],
        )


def _libpython_linked_static(facts: WheelFacts, target: Target) -> Findings:
    for library in filter(is_libpython, unreached(facts, target, wrapped=False)):
        if has_libpython(library, target) is False:
            lines = [f"the Python of {target.distro.id} does not use {library}"]
            yield _libpython_linked_finding(library, lines, Severity.ERROR, facts)


def _libpython_linked_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("libpython-linked", facts, observation, target)
    for library, members in grouped(found, lambda f: f.words.library if f.words else ""):
        lines = [failure.line for failure in members]
        yield _libpython_linked_finding(library.rpartition("/")[2], lines, members[0].severity, facts)
    for problem in loader_missing(facts, observation):
        if is_libpython(problem.text):
            yield _libpython_linked_finding(problem.text, [problem.line], problem.severity, facts)


def _libpython_linked_finding(
    library: str, lines: list[str], severity: Severity, facts: WheelFacts
) -> Finding:
    files = [elf.path for elf in needing(library, facts)]
    where = files[0] if files else "a dependency"
    return LIBPYTHON_LINKED.finding(
        f"{where} is linked to {library}",
        evidence=[*lines, *(f"{path} needs {library}" for path in files)],
        severity=severity,
        files=files,
    )


LIBPYTHON_LINKED = Check(
    code="ML109",
    name="libpython-linked",
    severity=Severity.ERROR,
    wheel=_libpython_linked_wheel,
    static=_libpython_linked_static,
    dynamic=_libpython_linked_dynamic,
)


# ML306: a library that is looked for at run time was not found.


def _runtime_dlopen(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("runtime-dlopen", facts, observation, target)
    for library, members in grouped(found, _library_named):
        named = [elf.path for elf in facts.elf if library in elf.libraries_by_name]
        yield RUNTIME_DLOPEN.finding(
            f"{library} is looked for at run time and is not there",
            evidence=[
                *(failure.line for failure in members),
                *(f"{path} holds the name {library}" for path in named),
                f"no ELF file of the wheel names {library} as needed, so no repair could graft it",
            ],
            severity=members[0].severity,
        )


RUNTIME_DLOPEN = Check(
    code="ML306",
    name="runtime-dlopen",
    severity=Severity.ERROR,
    dynamic=_runtime_dlopen,
)
