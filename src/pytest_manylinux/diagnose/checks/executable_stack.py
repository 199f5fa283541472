"""ML108: a file asks for an executable stack."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import ElfFacts, ElfKind, WheelFacts

# glibc 2.41, NEWS: "dlopen and dlmopen no longer make the stack executable if the shared library
# requires it, either implicitly because of a missing GNU_STACK ELF header (and default ABI permission
# having the executable bit set) or explicitly because of the executable bit in GNU_STACK".
FIRST_REFUSAL = (2, 41)


def stack_files(facts: WheelFacts) -> tuple[ElfFacts, ...]:
    """The wheel's shared objects that ask for an executable stack."""
    return tuple(elf for elf in facts.elf if elf.executable_stack and elf.kind is ElfKind.SHARED)


def _why(elf: ElfFacts) -> str:
    if elf.has_stack_header:
        return f"{elf.path}: PT_GNU_STACK has the flag X"
    return f"{elf.path}: no PT_GNU_STACK, which means executable on {elf.arch}"


def _wheel(facts: WheelFacts) -> Findings:
    files = stack_files(facts)
    if files:
        yield CHECK.finding(
            f"{files[0].path} asks for an executable stack, which glibc 2.41 and later refuse",
            evidence=[_why(elf) for elf in files],
            severity=Severity.WARNING,
            files=[elf.path for elf in files],
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    files = stack_files(facts)
    if files and target.distro.libc.is_glibc(FIRST_REFUSAL):
        yield CHECK.finding(
            f"{files[0].path} asks for an executable stack; {target.distro.libc} refuses to load it",
            evidence=[_why(elf) for elf in files],
            files=[elf.path for elf in files],
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("executable-stack", facts, observation, target))
    if not found:
        return
    files = stack_files(facts)
    subject = files[0].path if files else "a library that is not in the wheel"
    yield CHECK.finding(
        f"{subject} asks for an executable stack; the loader refused it ({observation.libc})",
        evidence=[*(failure.line for failure in found), *(_why(elf) for elf in files)],
        severity=min((f.severity for f in found), key=list(Severity).index),
        files=[elf.path for elf in files],
    )


CHECK = Check(
    code="ML108",
    name="executable-stack",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
