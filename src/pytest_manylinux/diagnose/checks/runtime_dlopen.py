"""ML306: a library that is looked for at run time was not found."""

from __future__ import annotations

from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
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
    title="A library that is looked for at run time was not found",
    meaning=(
        "The code opens a shared library by name while it runs, with dlopen, ctypes or cffi. No ELF "
        "file of the wheel lists it as needed (DT_NEEDED), so auditwheel cannot see it, does not "
        "graft it, and finds the wheel in order; the distro does not have it."
    ),
    by_hand=(
        "strings -a EXTENSION.so | grep 'lib.*\\.so'\ngrep -rn 'CDLL\\|dlopen\\|find_library' PACKAGE"
    ),
    remedies=(
        Remedy(
            words=(
                "link against the library so that repair grafts it, put a copy into the package and "
                "open it by its path there, or make the import work without it"
            )
        ),
    ),
    links=(
        Link(title="dlopen(3)", address="https://man7.org/linux/man-pages/man3/dlopen.3.html"),
        Link(
            title="auditwheel: limitations",
            address="https://github.com/pypa/auditwheel#limitations",
        ),
    ),
    sample="sample_projects/faulty/unlisted_library",
    dynamic=_dynamic,
)
