"""Wheels that are larger than they need to be."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML121: the wheel is larger than an index takes by default.

_MIB = 1024 * 1024
LIMIT = 100 * _MIB
"""Bytes of one file that the Python package index takes without a special request."""

_LARGEST = 5


def _oversized(facts: WheelFacts) -> Findings:
    if facts.wheel.size > LIMIT:
        largest = sorted(facts.elf, key=lambda elf: -elf.size)[:_LARGEST]
        yield OVERSIZED.finding(
            f"{facts.wheel.size / _MIB:.0f} MiB, {facts.unpacked_size / _MIB:.0f} MiB unpacked",
            evidence=[f"{elf.path}: {elf.size / _MIB:.1f} MiB" for elf in largest],
            files=[elf.path for elf in largest],
        )


OVERSIZED = Check(
    code="ML121",
    name="oversized",
    severity=Severity.INFORMATION,
    wheel=_oversized,
)


# ML120: files carry debug information.


def _unstripped(facts: WheelFacts) -> Findings:
    files = [elf for elf in facts.elf if elf.debug_sections]
    if files:
        total = sum(elf.debug_size for elf in files) / _MIB
        yield UNSTRIPPED.finding(
            f"{total:.1f} MiB of debug information in {len(files)} of {len(facts.elf)} ELF files",
            evidence=[f"{elf.path}: {elf.debug_size / _MIB:.1f} MiB" for elf in files],
            files=[elf.path for elf in files],
        )


UNSTRIPPED = Check(
    code="ML120",
    name="unstripped",
    severity=Severity.INFORMATION,
    wheel=_unstripped,
)
