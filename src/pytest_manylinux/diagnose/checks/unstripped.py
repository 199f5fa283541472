"""ML120: files carry debug information."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_MIB = 1024 * 1024


def _wheel(facts: WheelFacts) -> Findings:
    files = [elf for elf in facts.elf if elf.debug_sections]
    if files:
        total = sum(elf.debug_size for elf in files) / _MIB
        yield CHECK.finding(
            f"{total:.1f} MiB of debug information in {len(files)} of {len(facts.elf)} ELF files",
            evidence=[f"{elf.path}: {elf.debug_size / _MIB:.1f} MiB" for elf in files],
            files=[elf.path for elf in files],
        )


CHECK = Check(
    code="ML120",
    name="unstripped",
    severity=Severity.INFORMATION,
    wheel=_wheel,
)
