"""ML312: the distro's loader refuses a file, for a reason that no other finding names."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.loader_model import is_command, linked_files, loadings
from pytest_manylinux.diagnose.loader_words import Refusal, loader_problems, read_words, same_file
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_OF_LINUX = frozenset({0, 3})  # ELFOSABI_SYSV, ELFOSABI_GNU
# Where only these two are taken; ARM's and MIPS's headers have ABIs of their own.
_CHECKED = frozenset({"x86_64", "i686", "aarch64", "ppc64le", "s390x", "riscv64", "loongarch64"})
_NO_ELF = ("invalid ELF header", "file too short")


def _wheel(facts: WheelFacts) -> Findings:
    for elf in linked_files(facts):
        if elf.writes_to_read_only:
            yield CHECK.finding(
                f"{elf.path} crashes as it is started: what its loader writes to is mapped read-only",
                evidence=[_why_it_crashes(elf)],
                severity=Severity.ERROR if is_command(elf.path) else Severity.WARNING,
                files=[elf.path],
            )


def _why_it_crashes(elf: ElfFacts) -> str:
    return f"{elf.path}: DT_DEBUG, which a loader writes, is in a page of a segment without the flag W"


def _static(facts: WheelFacts, target: Target) -> Findings:
    """musl, to 1.2.6, calls no resolver: "unsupported relocation type", or "symbol not found"."""
    yield from _wheel(facts)
    libc = target.distro.libc
    if libc.is_glibc():
        yield from _refused_by_glibc(facts, target)
    if libc.is_musl():
        for elf in linked_files(facts):
            if elf.indirect_functions:
                yield CHECK.finding(
                    f"{elf.path} has indirect functions (IFUNC), which the loader of {libc} refuses",
                    remedy=CHECK.text.remedies[2].words,
                    files=[elf.path],
                )


def _refused_by_glibc(facts: WheelFacts, target: Target) -> Findings:
    """What glibc holds an ELF header to, and what a linker has it not open (elf/dl-load.c)."""
    loaded = {file.path: file for one in loadings(facts, target) for file in one.files}
    opened = {file.path for one in loadings(facts, target) if not one.program for file in one.files}
    for path, elf in loaded.items():
        abi, version = elf.os_abi
        if elf.arch in _CHECKED and (abi not in _OF_LINUX or (version and not abi)):
            why = f"its header is for OS ABI {abi}, version {version}; Linux has 0 and 3"
        elif elf.no_open and path in opened:
            why = "its linker was told that it is not to be opened (-z nodlopen)"
        else:
            continue
        yield CHECK.finding(f"the loader refuses {path}: {why}", files=[path])


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("loader-refusal", facts, observation, target)
    for text, members in grouped(found, _sentence):
        yield CHECK.finding(
            f"{members[0].subject}: {text}",
            evidence=[failure.line for failure in members],
            severity=members[0].severity,
            remedy=_remedy(text),
        )
    # Of modules and of programs inside packages; those on PATH are failures already.
    for problem in loader_problems(facts, observation):
        words = read_words(problem.text)
        if problem.severity is not Severity.ERROR and (words is None or _is_odd(words.refusal)):
            yield CHECK.finding(
                f"the loader on {problem.path}: {problem.text}",
                evidence=[
                    _why_it_crashes(elf)
                    for elf in facts.elf
                    if elf.writes_to_read_only and same_file(problem.path, elf.path)
                ],
                severity=problem.severity,
                remedy=_remedy(problem.text),
            )


def _is_odd(refusal: Refusal) -> bool:
    return refusal in {Refusal.OTHER, Refusal.ASSERTION}


def _sentence(failure: Failure) -> str:
    return failure.words.text.splitlines()[0] if failure.words else ""


def _remedy(text: str) -> str:
    return CHECK.text.remedies[1 if any(words in text for words in _NO_ELF) else 0].words


CHECK = Check(
    code="ML312",
    name="loader-refusal",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
