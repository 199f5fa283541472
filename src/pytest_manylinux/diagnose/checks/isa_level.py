"""ML110: a file needs a newer processor than the policy promises."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import ElfFacts, WheelFacts


def _files(facts: WheelFacts) -> tuple[ElfFacts, ...]:
    return tuple(elf for elf in loaded_files(facts) if elf.isa_level > 1)


def _lines(files: tuple[ElfFacts, ...]) -> list[str]:
    return [f"{elf.path}: its note asks for x86-64-v{elf.isa_level}" for elf in files]


def _wheel(facts: WheelFacts) -> Findings:
    files = _files(facts)
    if files:
        level = max(elf.isa_level for elf in files)
        yield CHECK.finding(
            f"{files[0].path} needs a processor of x86-64-v{level}; the tag promises any x86_64",
            evidence=_lines(files),
            severity=Severity.WARNING,
            files=[elf.path for elf in files],
        )


def _or_else(files: tuple[ElfFacts, ...]) -> str:
    """Compilers place such an instruction (ud2) themselves where code must not come."""
    return "" if files else ", or a trap of the code itself (ud2, __builtin_trap)"


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("isa-level", facts, observation, target))
    if found:
        files, where = _files(facts), observation.processor or "this processor"
        yield CHECK.finding(
            f"{found[0].subject}: an instruction that {where} does not have{_or_else(files)}",
            evidence=[*(failure.line for failure in found), *_lines(files)],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=[elf.path for elf in files],
        )


CHECK = Check(
    code="ML110",
    name="isa-level",
    severity=Severity.ERROR,
    wheel=_wheel,
    dynamic=_dynamic,
)
