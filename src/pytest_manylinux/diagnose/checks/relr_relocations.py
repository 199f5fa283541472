"""ML113: a file has packed relocations that older loaders do not know."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.model.distro import Distro, Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import ElfFacts, WheelFacts

# glibc 2.36, NEWS: support for DT_RELR; files that have it must depend on GLIBC_ABI_DT_RELR. Some
# distros carried it back to older versions: their row says GLIBC_ABI = "DT_RELR". A glibc without it
# refuses marked files and crashes on others (seen on 2.31).
_SINCE = (2, 36)
# musl 1.2.4, WHATSNEW: "dynamic linker: RELR relocations"; it asks for no mark.
_MUSL_SINCE = (1, 2, 4)
_MARK = "GLIBC_ABI_DT_RELR"


def _files(facts: WheelFacts) -> list[ElfFacts]:
    return [elf for elf in loaded_files(facts) if elf.relr]


def _is_marked(elf: ElfFacts) -> bool:
    return any(_MARK in versions for _, versions in elf.version_needs)


def _knows(distro: Distro) -> bool:
    marks = dict(distro.symbol_maxima).get("GLIBC_ABI", "").split()
    return distro.libc.is_musl(_MUSL_SINCE) or distro.libc.is_glibc(_SINCE) or "DT_RELR" in marks


def _is_refused(elf: ElfFacts, *, known: bool) -> bool:
    """The mark is asked only of files with versioned needs of libc (seen on 2.36, 2.41, 2.43)."""
    if not known:
        return True
    uses_libc = any(library.startswith("libc.so") for library, _ in elf.version_needs)
    return uses_libc and not _is_marked(elf)


def _line(elf: ElfFacts) -> str:
    mark = "asks for" if _is_marked(elf) else "does not ask for"
    return f"{elf.path} has DT_RELR and {mark} {_MARK}"


def _static(facts: WheelFacts, target: Target) -> Findings:
    known, libc = _knows(target.distro), target.distro.libc
    found = [] if known and libc.is_musl() else _files(facts)
    files = [elf for elf in found if _is_refused(elf, known=known)]
    if not files and not known and libc.is_glibc():  # the mark alone is refused too
        yield from (_asking(elf, target) for elf in loaded_files(facts) if _is_marked(elf))
    if files:
        why = f"wants the mark {_MARK} beside it" if known else "does not know it"
        yield CHECK.finding(
            f"{files[0].path} has packed relocations (DT_RELR); {libc} {why}",
            evidence=[_line(elf) for elf in files],
            files=[elf.path for elf in files],
        )


def _asking(elf: ElfFacts, target: Target) -> Finding:
    return CHECK.finding(
        f"{elf.path} asks for {_MARK}, which {target.distro.libc} does not have", files=[elf.path]
    )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("relr-relocations", facts, observation, target))
    if found:
        files = _files(facts)
        yield CHECK.finding(
            f"{found[0].subject}: the loader does not take packed relocations (DT_RELR)",
            evidence=[*(failure.line for failure in found), *(_line(elf) for elf in files)],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=[elf.path for elf in files],
        )


CHECK = Check(
    code="ML113",
    name="relr-relocations",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
