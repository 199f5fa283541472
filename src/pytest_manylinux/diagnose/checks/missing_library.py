"""ML104: a needed library is neither in the wheel nor on the distro."""

from __future__ import annotations

from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.blame import Failure, blamed, grouped, needing
from pytest_manylinux.diagnose.installed import loader_missing
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    for library in target.distro.absent_libraries:
        if needing(library, facts):
            yield _finding(library, [], Severity.ERROR, facts, target)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("missing-library", facts, observation, target)
    for library, members in grouped(found, _library):
        lines = [failure.line for failure in members]
        yield _finding(library, lines, members[0].severity, facts, target)
    for problem in loader_missing(facts, observation):
        yield _finding(problem.text, [problem.line], problem.severity, facts, target)


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
        evidence=[*lines, *who],
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
        "libcrypt.so.1 …), the wheel keeps its promise and auditwheel is content, but a minimal "
        "installation of the distro does not have it; the evidence names the package that brings it. "
        "If the list does not permit it, repair should have grafted it."
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
    static=_static,
    dynamic=_dynamic,
)
