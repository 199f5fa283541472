"""ML121: the wheel is larger than an index takes by default."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_MIB = 1024 * 1024
LIMIT = 100 * _MIB
"""Bytes of one file that the Python package index takes without a special request."""

_LARGEST = 5


def _wheel(facts: WheelFacts) -> Findings:
    if facts.wheel.size > LIMIT:
        largest = sorted(facts.elf, key=lambda elf: -elf.size)[:_LARGEST]
        yield CHECK.finding(
            f"{facts.wheel.size / _MIB:.0f} MiB, {facts.unpacked_size / _MIB:.0f} MiB unpacked",
            evidence=[f"{elf.path}: {elf.size / _MIB:.1f} MiB" for elf in largest],
            files=[elf.path for elf in largest],
        )


CHECK = Check(
    code="ML121",
    name="oversized",
    severity=Severity.INFORMATION,
    wheel=_wheel,
)
