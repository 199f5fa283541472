"""ML111: a load segment is aligned to less than a page of the kernel."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import ElfFacts, WheelFacts

_SMALLEST_PAGE = 4096
# The largest page that kernels of mainstream distros use: 64K on RHEL 7 and 8 for aarch64 and on
# ppc64le; 16K on Asahi Linux and loongarch64. All others have 4K pages only.
_LARGEST_PAGE = {"aarch64": 65536, "ppc64le": 65536, "ppc64": 65536, "loongarch64": 16384}
# Older loaders demand that p_align is a multiple of the page and that address and offset agree by it;
# since glibc 2.35 they only have to agree within a page (elf/dl-load.c; seen on 2.31 and on 2.36, 2.41,
# 2.43).
_LENIENT_SINCE = (2, 35)


def _unfit(elf: ElfFacts, page: int, *, lenient: bool) -> bool:
    for load in elf.loads:
        apart = load.address - load.offset
        strict = load.align % page or (apart % load.align if load.align else apart)
        if apart % page if lenient else strict:
            return True
    return False


@once_per_wheel
def _unfit_for(facts: WheelFacts) -> dict[bool, list[ElfFacts]]:
    """The files that a distro refuses, by whether its loader is lenient."""
    return {
        lenient: [e for e in loaded_files(facts) if _unfit(e, _SMALLEST_PAGE, lenient=lenient)]
        for lenient in (False, True)
    }


def _fault(elf: ElfFacts, page: int) -> str:
    """What is wrong with a file's load segments, to end a sentence about it."""
    least = min(load.align for load in elf.loads)
    if least < page:
        return f"a load segment is aligned to {least} bytes, less than a page ({page})"
    if any(load.align % page for load in elf.loads):
        return "the alignment of a load segment is no multiple of a page"
    return "a load segment's address and offset in the file do not fit together (damaged headers)"


def _wheel(facts: WheelFacts) -> Findings:
    files = [
        elf
        for elf in loaded_files(facts)
        if _unfit(elf, _LARGEST_PAGE.get(elf.arch, _SMALLEST_PAGE), lenient=False)
    ]
    if files:
        page = _LARGEST_PAGE.get(files[0].arch, _SMALLEST_PAGE)
        yield CHECK.finding(
            f"{files[0].path} cannot be loaded by kernels with pages of {page // 1024}K: "
            f"{_fault(files[0], page)}",
            evidence=[f"{elf.path}: {_fault(elf, page)}" for elf in files],
            severity=Severity.WARNING,
            files=[elf.path for elf in files],
        )


def _is_lenient(target: Target) -> bool:
    """Whether the loader does not look at p_align; that of musl never does (ldso/dynlink.c)."""
    return target.distro.libc.is_musl() or target.distro.libc.is_glibc(_LENIENT_SINCE)


def _static(facts: WheelFacts, target: Target) -> Findings:
    files = _unfit_for(facts)[_is_lenient(target)]
    if files:
        yield CHECK.finding(
            f"{target.distro.id} refuses to load {files[0].path}: {_fault(files[0], _SMALLEST_PAGE)}",
            evidence=[f"{elf.path}: {_fault(elf, _SMALLEST_PAGE)}" for elf in files],
            files=[elf.path for elf in files],
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("page-alignment", facts, observation, target))
    if found:
        page = _LARGEST_PAGE.get(target.arch, _SMALLEST_PAGE)
        files = [e for e in facts.elf if e.loads and _unfit(e, page, lenient=False)]
        why = _fault(files[0], page) if files else "the loader refuses its load segments"
        yield CHECK.finding(
            f"{found[0].subject}: {why}",
            evidence=[
                *(failure.line for failure in found),
                *(f"{elf.path}: {_fault(elf, page)}" for elf in files),
            ],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=[elf.path for elf in files],
        )


CHECK = Check(
    code="ML111",
    name="page-alignment",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
