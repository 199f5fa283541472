"""ML104: a needed library is neither in the wheel nor on the distro."""

from __future__ import annotations

from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
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
    title="A needed library is neither in the wheel nor on the distro",
    meaning=(
        "An ELF file lists a shared library as needed (DT_NEEDED) and the distro's loader does not "
        "find it. If the policy's allow list permits the library (libGL.so.1, libX11.so.6, "
        "libglib-2.0.so.0 …), the wheel keeps its promise and auditwheel is content, but a minimal "
        "installation of the distro does not have it; the evidence names the package that brings it. "
        "If the list does not permit it, repair should have grafted it. Where the loader misses the "
        "library of an extension module that was imported all the same, the package loads it first "
        "by itself, and this is a warning."
    ),
    by_hand="readelf -d FILE.so | grep NEEDED; ldd FILE.so | grep 'not found'",
    remedies=(
        Remedy(
            words=(
                "let `auditwheel repair` graft the library; if the allow list permits it, link it only "
                "where it is used, or tell users which package to install"
            )
        ),
        Remedy(tool="setuptools", words="drop it from libraries= and extra_link_args if it is unused"),
        Remedy(tool="meson-python", words="link_args : ['-Wl,--as-needed'] drops what is not used"),
        Remedy(
            tool="scikit-build-core",
            words='target_link_options(NAME PRIVATE "LINKER:--as-needed"), or build without that part',
        ),
    ),
    links=(
        Link(title="PEP 513: the allow list", address="https://peps.python.org/pep-0513/"),
        Link(title="ld.so(8)", address="https://man7.org/linux/man-pages/man8/ld.so.8.html"),
    ),
    sample="sample_projects/faulty/allowed_library",
    static=_static,
    dynamic=_dynamic,
)
