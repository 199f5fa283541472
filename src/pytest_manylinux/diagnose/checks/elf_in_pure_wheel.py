"""ML119: native code in a wheel whose name says that it runs anywhere."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.elf_index import in_pure_wheel
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    files = in_pure_wheel(facts)
    if files:
        yield CHECK.finding(
            f"the name says any platform, and {files[0].path} is for {files[0].arch}",
            evidence=[f"{elf.path}: {elf.arch}" for elf in files],
            files=[elf.path for elf in files],
        )


CHECK = Check(
    code="ML119",
    name="elf-in-pure-wheel",
    severity=Severity.ERROR,
    wheel=_wheel,
)
